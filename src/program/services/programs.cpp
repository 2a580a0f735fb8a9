#include "services/programs.hpp"

#include "process/service.hpp"

#include <array>

namespace posthorn::services {

std::span<const process::Program> programs()
{
    static constexpr std::array table{
        process::Program{"smtpd", serve_smtpd},       process::Program{"qmgr", serve_qmgr},       process::Program{"resolve", serve_resolve},
        process::Program{"memory", serve_memory},     process::Program{"smtp", serve_smtp},       process::Program{"lmtp", serve_smtp},
        process::Program{"spawn", serve_spawn},       process::Program{"pipe", serve_pipe},       process::Program{"virtual", serve_virtual},
        process::Program{"local", serve_local},       process::Program{"sasl", serve_sasl},       process::Program{"hook", serve_hook},
        process::Program{"reporter", serve_reporter}, process::Program{"reports", serve_reports}, process::Program{"qmqpd", serve_qmqpd},
    };
    return table;
}

}  // namespace posthorn::services
