"""What a caller may see and do, without a protocol: the table of verbs and the work behind each."""
