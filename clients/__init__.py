"""The enterprise's side: node, gate, vault, sandbox, egress, and the SDK that apps use."""
