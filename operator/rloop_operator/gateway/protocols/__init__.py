"""The verbs over HTTP and over MCP: requests in, replies and refusals out."""
