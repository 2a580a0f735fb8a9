// tools/postconf.hpp: shows and changes the configuration.                                         postconf(1)
// Exit     0; 1 after a "postconf: fatal: ..." on standard error. Warnings go there as well and do not change it.
// Options  -n -d -h -H -e -x -X -# -M -F -P -o -c -f -p -C -m -l -a -A -b -t -T -v and their combinations.
#pragma once

#include <span>

namespace posthorn::tools {

/// `args` with the command's name in front, as main() has them.
int postconf(std::span<char*> args);

}  // namespace posthorn::tools
