# The end: the line goes back to the shell that was there before. Loaded when first used.
__Q() { trap - INT QUIT HUP EXIT; rm -f $__f.*; stty sane 2>/dev/null; __e Q$1; __z=q; [ "${ZSH_VERSION-}" ] && emulate zsh; }
