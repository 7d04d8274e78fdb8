# The agent: a loop that reads framed commands from the tty and answers in frames. POSIX sh; no forks but those named.
# Comment lines and indentation are stripped before it is sent, and what is seldom needed is sent when it is (X): every
# byte here costs at each boot. The loader has set the tty ($__o; $__x: + or -). Requests, one line each, by function:
#   D id chars lines bytes limit script input   and then so many lines: run them in a subshell, streams to files;
#                        without the last numbers: 1 line, chars is bytes, 16 MB (each byte here costs at each command);
#                        script and input are the sizes of files id.c and id.i to use instead, or - (agent_given.sh)
#   V ...  the same with output live (agent_live.sh)
#   A id limit flags     that answer again, streams up to so many bytes
#   B id o|e limit       one stream in an encoding without '[' (agent_encoded.sh)
#   W name text          append to a file (agent_given.sh)       K 0   remove all files of commands
#   P n   ping -> ~Pn.         I n   let people type (agent_typed.sh) -> ~In.
#   Q n   back to the prompt (agent_left.sh) -> ~Qn.
#   \...  evaluated in this very shell: more functions, or the loader of another run of ours
# All else is what Ctrl-C or noise left of a request, or, after I, from people.
# bash reads ahead when it can: what is meant for a program or for the prompt may only be sent after ~In. or ~Qn.
# Answer: \n~id;status;uptime0;uptime1;size1;sum1;size2;sum2;flags~\n<stdout><stderr>~id;status.\n   (see frames.py)
# or \n~id!what.\n: u never heard of it, k cannot sum or cut (agent_sums.sh), else it came damaged and was not run.
# Files are FOLDER/.lavaPID*; in place of @ comes the tag of a line of this machine (leavings.py), or nothing.
# What is left in the background may go on writing: so only as many bytes are sent as were summed up.
# Frames go out by echo: every shell has it built in (mksh has no printf). echo x tells whether there is space left, and
# true gives that space back for the next command (dash ended its loop if a redirection of the special builtin : failed).
set +m 2>/dev/null; set +aCefuvx; unset IFS HISTFILE; trap : INT QUIT
# what a user's profile may have put in place of the tools, and bash's options of patterns
unset -f head rm cksum wc md5sum tee cat kill
shopt -u failglob nullglob nocasematch xpg_echo 2>/dev/null
__nl='
'
__id= __ty=
for __d in /dev/shm /run /tmp /var/tmp /data/local/tmp; do
 __f=$__d/.lava@$$; { echo x >$__f.x; } 2>/dev/null && break; [ -e $__f.x ] && rm $__f.x
done
trap 'rm -f $__f.*' EXIT; trap exit HUP
__e() { echo "$__nl~$1."; }
__tty() { __ty=; stty $__o 2>/dev/null; }
__fit() { [ $# = 4 ] && [ $1 -le $__li ] && [ $3 -le $__li ] && __so=$1 __ko=$2 __se=$3 __ke=$4; }
if command -v cksum >/dev/null; then __sums() { set -- $(cksum $1.o $1.e 2>/dev/null); __fit $2 $1 $5 $4; }
else __sums() { set -- $(wc -c $1.o $1.e) $(md5sum $1.o $1.e 2>/dev/null); __fit $1 $7 $3 $9; }; fi
__A() {
 [ "$1" = "$__id" ] || { __e $1!u; return; }
 __li=${2:-16777216} __fl=$3 __g=$__f.$1 __so=0 __se=0 __ko=- __ke=-
 echo x >$__f.x || __fl=${__fl}f
 if [ -e $__g.o ] && [ -e $__g.e ]; then
  [ -s $__g.o ] || [ -s $__g.e ] && { __sums $__g || { __e $1!k; return; }; }
 else __fl=${__fl}g; fi
 __h="$__nl~$1;$__rc;$__u0;$__u1;$__so;$__ko;$__se;$__ke;$__fl~"
 case $3$__so$__se in
  00|s*) echo "$__h$__nl~$1;$__rc.";;
  *)
   echo "$__h"
   [ $__so = 0 ] || head -c $__so $__g.o
   [ $__se = 0 ] || head -c $__se $__g.e
   echo "~$1;$__rc.";;
 esac
 true >$__f.x
}
__get() {
 __w=${3:-1} __in=/dev/null
 IFS= read -r __c || return
 while [ $__w -gt 1 ]; do IFS= read -r __l || return; __c=$__c$__nl$__l __w=$((__w-1)); done
 [ ${#__c} = "$2" ] || [ ${#__c} = "$4" ] || { __e $1!${#__c}; return 1; }
 [ $# -lt 6 ] || __given "$@"
}
__up() { __q=; }; [ -r /proc/uptime ] && __up() { read -r __q __w </proc/uptime; }
__D() {
 __get "$@" || return; __id=$1; __up; __u0=$__q
 ( eval " $__c" ) >$__f.$1.o 2>$__f.$1.e <$__in; __rc=$?
 __up; __u1=$__q; __A $1 "$5"
}
__K() { rm -f $__f.*.?; }
__P() { __e P$1; }
__loop() {
 __z=0
 while [ $__z != q ]; do
  # a read that fails may be Ctrl-C (busybox gives the status of the end, too), so only several in a row are the end
  IFS= read -r __i || { __z=$((__z+1)); [ $__z -lt 9 ] && continue; exit 1; }
  __z=0
  case $__ty$__i in
   [A-Z]' '*) __$__i;;
   # command: or else a syntax error ended dash's and busybox's loop
   \\*) command eval "$__i";;
   1*) __typed;;
   # who finds us when our run is gone asks for a prompt
   '') echo '# ';;
  esac
 done
}
[ -s $__f.x ] || __x=!
command -v head >/dev/null || __x=?
