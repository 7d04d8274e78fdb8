# The heartbeat of what runs in the background: H n file -> ~Hn;uptime;first line of that file. It starts no process.
__H() { __up; __n=; { IFS= read -r __n <$2; } 2>/dev/null; __e "H$1;$__q;$__n"; }
