#include "commands/command.hpp"

namespace posthorn::commands {

namespace {
constexpr Command table[] = {
    {"sendmail", sendmail},     {"mailq", sendmail},     {"newaliases", sendmail},
    {"postfix", postfix},       {"init", posthorn_init}, {"postqueue", postqueue},
    {"postsuper", postsuper},   {"postcat", postcat},    {"postlog", postlog},
    {"postkick", postkick},     {"postlock", postlock},  {"postmulti", postmulti},
    {"qshape", qshape},         {"queue", queue},        {"counters", counters},
    {"transcript", transcript}, {"peers", peers},        {"why", why},
    {"suspend", suspend},       {"bounce", bounce},      {"resume", resume},
    {"orders", orders},         {"helpers", helpers},    {"setting", setting},
    {"reports", reports},       {"accounts", accounts},  {"trials", trials},
    {"standby", standby},       {"share", share},
};
}  // namespace

std::span<const Command> commands() { return table; }

}  // namespace posthorn::commands
