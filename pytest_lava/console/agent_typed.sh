# People type: lines run in this very shell, with a prompt ($__p) after each. Loaded when first used.
__I() { __ty=1; stty icanon icrnl ixon 2>/dev/null; __e I$1; }
__typed() {
 case $__i in
  [PQ]' '*) __$__i;;
  *) command eval "$__i"; unset IFS; set +aCefuvx; trap : INT QUIT; printf '\n%s' "$__p";;
 esac
}
