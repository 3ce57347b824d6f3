"""Which running proxies a command asks: the options that name them, what a shell completes, and how several are followed
as one. What is asked, and how the answer is shown, is each command's own business."""
