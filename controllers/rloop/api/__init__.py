"""The typed models of the three kinds, from which the CRDs are generated, and of everything that programs exchange."""
