# The agent: a loop that reads framed commands from the tty and answers in frames. POSIX sh; no forks but those named.
# Comment lines and indentation are stripped before it is sent, and what is seldom needed is sent when it is (X): every
# byte here costs at each boot. The loader has set the tty ($__o). Requests, one line each:
#   D id lines bytes chars limit script input   and then so many lines: run them in a subshell, streams to files;
#                        script and input are the sizes of files id.c and id.i to use instead, or - (agent_given.sh)
#   V ...  the same with output live (agent_live.sh)       A id limit   that answer again, streams up to so many bytes
#   B id o|e limit   one stream in an encoding without '[' (agent_encoded.sh)
#   W name text      append to a file (agent_given.sh)     K   remove all files of commands
#   X id chars       and lines up to '.': more functions      -> ~Xid.   or ~Xid!chars.
#   P n   ping -> ~Pn.       I n   let people type (agent_typed.sh) -> ~In.      T   set the tty again
#   Q n   back to the prompt -> ~Qn.
# All else is what Ctrl-C or noise left of a request, but for the loader of another run of ours, and, after I, people.
# bash reads ahead when it can: what is meant for a program or for the prompt may only be sent after ~In. or ~Qn.
# Answer: \n~id;status;uptime0;uptime1;size1;sum1;size2;sum2;flags~\n<stdout><stderr>~id;status.\n
# or \n~id!what.\n: the request came damaged and nothing was run, or (k) cksum does not work here (agent_sums.sh).
# What is left in the background may go on writing: so only as many bytes are sent as were summed up.
# Frames go out by echo: every shell has it built in (mksh has no printf). echo x tells whether there is space left.
set +m 2>/dev/null; set +aCefuvx; unset IFS HISTFILE; trap : INT QUIT
__nl='
'
__id= __ty=
__tty() { __ty=; stty $__o 2>/dev/null; }
for __d in /dev/shm /run /tmp /var/tmp /data/local/tmp; do __f=$__d/.lava$$; { echo x >$__f.x; } 2>/dev/null && break; done
trap 'rm -f $__f.*' EXIT; trap exit HUP
__sums() {
 set -- $(cksum $1.o $1.e 2>/dev/null); [ $# = 6 ] || return
 __so=$2 __ko=$1 __se=$5 __ke=$4
}
__cut() {
 set -- $(head -c $2 $1 | cksum); __q=$1
}
__send() {
 __so=0 __se=0 __ko=- __ke=- __fl=$3
 { echo x >$__f.x; } 2>/dev/null || __fl=${__fl}f; : >$__f.x
 [ -e $__f.$1.o ] && [ -e $__f.$1.e ] || __fl=${__fl}g
 if [ -s $__f.$1.o ] || [ -s $__f.$1.e ]; then
  __sums $__f.$1 || { echo "$__nl~$1!k."; return; }
  [ $__so -le $2 ] || { __cut $__f.$1.o $2; __so=$2 __ko=$__q __fl=${__fl}t; }
  [ $__se -le $2 ] || { __cut $__f.$1.e $2; __se=$2 __ke=$__q __fl=${__fl}t; }
 fi
 __h="$__nl~$1;$__rc;$__u0;$__u1;$__so;$__ko;$__se;$__ke;$__fl~"
 case $3$__so$__se in
  00|s*) echo "$__h$__nl~$1;$__rc.";;
  *)
   echo "$__h"
   [ $__so = 0 ] || head -c $__so $__f.$1.o
   [ $__se = 0 ] || head -c $__se $__f.$1.e
   echo "~$1;$__rc.";;
 esac
}
__get() {
 __w=$3 __in=/dev/null
 IFS= read -r __c || return
 while [ $__w -gt 1 ]; do IFS= read -r __l || return; __c=$__c$__nl$__l __w=$((__w-1)); done
 [ ${#__c} = $4 ] || [ ${#__c} = $5 ] || { echo "$__nl~$2!${#__c}."; return 1; }
 [ $7$8 = -- ] || __given "$@"
}
if [ -r /proc/uptime ]; then __up() { read -r __q __w </proc/uptime; }; else __up() { __q=; }; fi
__do() {
 __get "$@" || return; __id=$2; __up; __u0=$__q
 ( eval " $__c" ) >$__f.$2.o 2>$__f.$2.e <$__in; __rc=$?
 __up; __u1=$__q; __send $2 $6 ''
}
__again() { if [ "$2" = "$__id" ]; then __send $2 $3 $4; else echo "$__nl~$2!?."; fi; }
__load() {
 __a=$(sed -n '/^\.$/q;p')
 if [ ${#__a} = $3 ]; then eval "$__a"; echo "$__nl~X$2."; else echo "$__nl~X$2!${#__a}."; fi
}
__loop() {
 __z=0
 while :; do
  # a read that fails may be Ctrl-C (busybox gives no other status than at the end), so only several in a row are the end
  IFS= read -r __i || { __z=$((__z+1)); [ $__z -lt 9 ] && continue; exit 1; }
  __z=0
  case $__i in
   'D '*) __do $__i;; 'A '*) __again $__i;; 'V '*) __live $__i;; 'B '*) __enc $__i;;
   'X '*) __load $__i;; 'W '*) __write $__i;; K) rm -f $__f.*.?;;
   'P '*) echo "$__nl~P${__i#P }.";; T) __tty;; 'I '*) __typing $__i;;
   'Q '*) trap - INT QUIT HUP EXIT; rm -f $__f.*; stty sane; echo "$__nl~Q${__i#Q }."; return;;
   # command: or else a syntax error ended dash's and busybox's loop
   '\unalias'*) command eval "$__i";;
   *) [ $__ty ] && __typed;;
  esac
 done
}
