// submit/exit_status.hpp: sysexits, as sendmail and postdrop use them.
#pragma once

namespace posthorn::submit {

enum ExitStatus {
    exit_ok = 0,
    exit_usage = 64,           // wrong options or addresses
    exit_data = 65,            // the message cannot be taken as it is
    exit_no_input = 66,        // standard input failed
    exit_no_user = 67,
    exit_unavailable = 69,
    exit_software = 70,
    exit_os = 71,
    exit_cannot_create = 73,
    exit_io = 74,
    exit_temporary = 75,       // try again
    exit_no_permission = 77,
    exit_config = 78,
};

}  // namespace posthorn::submit
