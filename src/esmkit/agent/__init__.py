"""ESM-2 for agents: one list of typed tools on a server's HTTP API, over MCP and in the chat.

errors, text -> service, results -> tools/base -> pictures -> tools -> mcp, chat
"""
