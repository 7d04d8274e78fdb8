# The agent: a loop that reads framed commands from the tty and answers in frames. POSIX sh; no forks but those named.
# Comment lines and indentation are stripped before it is sent. Requests, one line each:
#   D id lines bytes chars limit script input   and then so many lines: run them in a subshell, streams to files;
#                        script and input are the sizes of files id.c and id.i to use instead, or -
#   V ...  the same with output live (agent_live.sh)       A id limit   that answer again, streams up to so many bytes
#   B id o|e limit   one stream in an encoding without '[' (agent_encoded.sh)
#   W name text      append to a file: text for printf %b      K   remove all files of commands
#   X id chars       and lines up to '.': more functions      -> ~Xid.   or ~Xid!chars.
#   P n   ping -> ~Pn.       I n   set the tty as people expect it -> ~In.       T   set it again       Q n   back to the prompt
# What is none of these and comes after I was typed by people: it runs in this very shell. Else it is what Ctrl-C or
# noise left of a request, but for our own functions and the loader of another run.
# bash reads ahead when it can: what is meant for a program or for the prompt may only be sent after ~In. or ~Qn.
# Answer: \n~id;status;uptime0;uptime1;size1;sum1;size2;sum2;flags~\n<stdout><stderr>~id;status.\n
# or, if the request came damaged and nothing was run, \n~id!what.\n
# What is left in the background may go on writing: so only as many bytes are sent as were summed up.
# Frames go out by echo: every shell has it built in (mksh has no printf). echo x tells whether there is space left.
set +m 2>/dev/null; set +aCefuvx; unset IFS HISTFILE; trap : INT QUIT
__nl='
'
__id= __ty= __o='-icanon -echo -opost -ixon -icrnl -inlcr -istrip -iexten isig min 1 time 0'
__tty() { stty $__o 2>/dev/null; }
for __d in /dev/shm /run /tmp /var/tmp "$HOME"; do ( echo x >"$__d/.lava$$.x" ) 2>/dev/null && break; done
__f=$__d/.lava$$; __m=w
trap 'rm -f "$__f".*' EXIT; trap exit HUP
__has() { command -v $1 >/dev/null 2>&1; }
# tools are tried, as a busybox may have the name and not the tool
case $( (echo lava | md5sum) 2>/dev/null) in df991dff0d2440bd4a7947530995db94*) __m=m;; esac
case $( (echo lava | cksum) 2>/dev/null) in '3286395522 5'*) __m=c;; esac
case $__m in
 c) __k() { cksum "$1.o" "$1.e"; };;
 m) __k() { wc -c "$1.o" "$1.e"; md5sum "$1.o" "$1.e"; };;
 w) __k() { wc -c "$1.o" "$1.e"; };;
esac
__sums() {
 set -- $(__k "$1")
 case $__m in
  c) __so=$2 __ko=$1 __se=$5 __ke=$4;;
  m) __so=$1 __se=$3 __ko=$7 __ke=$9;;
  w) __so=$1 __se=$3;;
 esac
}
__sum() {
 case $__m in c) set -- $(head -c $2 "$1" | cksum);; m) set -- $(head -c $2 "$1" | md5sum);; *) set -- -;; esac
 __q=$1; __fl=${__fl}t
}
__send() {
 __so=0 __se=0 __ko=- __ke=- __fl=$3
 echo x 2>/dev/null >"$__f.x" || __fl=${__fl}f; : >"$__f.x"
 if [ -s "$__f.$1.o" ] || [ -s "$__f.$1.e" ]; then
  __sums "$__f.$1"
  [ $__so -le $2 ] || { __sum "$__f.$1.o" $2; __so=$2 __ko=$__q; }
  [ $__se -le $2 ] || { __sum "$__f.$1.e" $2; __se=$2 __ke=$__q; }
 fi
 __h="$__nl~$1;$__rc;$__u0;$__u1;$__so;$__ko;$__se;$__ke;$__fl~"
 case $3$__so$__se in
  00|s*) echo "$__h$__nl~$1;$__rc.";;
  *)
   echo "$__h"
   [ $__so = 0 ] || head -c $__so "$__f.$1.o"
   [ $__se = 0 ] || head -c $__se "$__f.$1.e"
   echo "~$1;$__rc.";;
 esac
}
__size() { __q=$(wc -c <"$__f.$1") && [ $__q -eq $2 ]; } 2>/dev/null
__get() {
 __w=$3; __in=/dev/null
 IFS= read -r __c || return
 while [ $__w -gt 1 ]; do IFS= read -r __l || return; __c=$__c$__nl$__l; __w=$((__w-1)); done
 [ ${#__c} = $4 ] || [ ${#__c} = $5 ] || { echo "$__nl~$2!${#__c}."; return 1; }
 case $7$8 in --) return 0;; esac
 [ $7 = - ] || { __size $2.c $7 && __c='. "$__f.$__id.c"'; } || { echo "$__nl~$2!c."; return 1; }
 [ $8 = - ] || { __size $2.i $8 && __in=$__f.$2.i; } || { echo "$__nl~$2!i."; return 1; }
}
if [ -r /proc/uptime ]; then __up() { read -r __q __w </proc/uptime; }; else __up() { __q=; }; fi
__do() {
 __get "$@" || return; __id=$2; __up; __u0=$__q
 ( eval " $__c" ) >"$__f.$2.o" 2>"$__f.$2.e" <"$__in"; __rc=$?
 __up; __u1=$__q; __send $2 $6 ''
}
__again() { if [ "$2" = "$__id" ]; then __send $2 $3 ''; else echo "$__nl~$2!?."; fi; }
__load() {
 __a=
 while IFS= read -r __i && [ "$__i" != . ]; do __a=$__a$__i$__nl; done
 if [ ${#__a} = $3 ]; then eval "$__a"; echo "$__nl~X$2."; else echo "$__nl~X$2!${#__a}."; fi
}
__write() { printf %b "$3" >>"$__f.$2"; }
__typing() { __ty=1; stty icanon icrnl ixon iexten 2>/dev/null; echo "$__nl~I$2."; }
# command: or else a syntax error ended dash's and busybox's loop
__typed() { command eval "$__i"; unset IFS; set +aCefuvx; trap : INT QUIT; printf '\n%s' "$__p"; }
__loop() {
 __z=0
 while :; do
  # a read that fails may be Ctrl-C (busybox gives no other status than at the end), so only several in a row are the end
  IFS= read -r __i || { __z=$((__z+1)); [ $__z -lt 9 ] && continue; exit 1; }
  __z=0
  case $__i in
   'D '*) __do $__i;; 'A '*) __again $__i;; 'V '*) __live $__i;; 'B '*) __enc $__i;;
   'X '*) __load $__i;; 'W '*) __write $__i;; K) rm -f "$__f".*.?;;
   'P '*) echo "$__nl~P${__i#P }.";; T) __ty=; __tty;; 'I '*) __typing $__i;;
   '') printf '\n%s' "$__p";; '__'*|'. "$__f'*|'\unalias'*) __typed;;
   'Q '*) trap - INT QUIT HUP EXIT; rm -f "$__f".*; stty sane; echo "$__nl~Q${__i#Q }."; return;;
   *) [ $__ty ] && __typed;;
  esac
 done
}
