"""The measurements that come with paddlepress, each a plugin."""
