// process/refusals.hpp: a confined process tries what it must not be able to do, and says how that went.
// For      `posthorn confinement-check`: a service that was started with Start.check_powers gets here from its own confine(), by the way it
//          always takes, with the powers it always has; it never serves.
// Shape    "WHAT\tERROR\n" for what was refused, "WHAT\tallowed\n" for what was not, "WHAT\tgranted\n" for what its powers name and which is
//          therefore not tried; then "end\n". Who reads it may look at the process until it closes its end.
#pragma once

#include "base/fd.hpp"
#include "process/powers.hpp"

namespace posthorn::process {

[[noreturn]] void report_refusals(Fd to, Powers powers);

}  // namespace posthorn::process
