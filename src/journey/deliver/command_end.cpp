#include "deliver/command_end.hpp"

#include "base/strings.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <sys/wait.h>
#include <sysexits.h>

#include <algorithm>
#include <array>

namespace posthorn::deliver {

namespace {

struct Meaning {
    int status;
    std::string_view code, text;
};
constexpr auto meanings = std::to_array<Meaning>({
    {EX_USAGE, "5.3.0", "command line usage error"},
    {EX_DATAERR, "5.6.0", "data format error"},
    {EX_NOINPUT, "5.3.0", "cannot open input"},
    {EX_NOUSER, "5.1.1", "user unknown"},
    {EX_NOHOST, "5.1.2", "host name unknown"},
    {EX_UNAVAILABLE, "5.3.0", "service unavailable"},
    {EX_SOFTWARE, "5.3.0", "internal software error"},
    {EX_OSERR, "4.3.0", "system resource problem"},
    {EX_OSFILE, "5.3.0", "critical OS file missing"},
    {EX_CANTCREAT, "5.2.0", "can't create user output file"},
    {EX_IOERR, "5.3.0", "input/output error"},
    {EX_TEMPFAIL, "4.3.0", "temporary failure"},
    {EX_PROTOCOL, "5.5.0", "remote error in protocol"},
    {EX_NOPERM, "5.7.0", "permission denied"},
    {EX_CONFIG, "5.3.5", "local configuration error"},
});

/// Fit for one line of the log and of a report.
std::string shown(std::string_view output)
{
    std::string text(output.substr(0, command_output_limit));
    for (char& c : text) {
        const auto octet = static_cast<unsigned char>(c);
        if (is_space(c))
            c = ' ';
        else if (octet < ' ' || octet > 126)
            c = '_';
    }
    return text;
}

Fate failed(std::string_view code, std::string text)
{
    return code.starts_with('4') ? Fate::deferred(std::string(code), std::move(text)) : Fate::bounced(std::string(code), std::move(text));
}

}  // namespace

Fate fate_of(const CommandEnd& end, std::string_view command, std::string_view success, std::string_view action, Tell tell_success)
{
    const std::string output = shown(end.output);
    const std::string_view said_well = tell_success == Tell::output ? trim(output) : std::string_view{};
    const std::string said = output.empty() ? "" : ". Command output: " + output;
    if (end.not_executed)
        return Fate::deferred("4.3.0", fmt::format("temporary failure. {}", end.not_executed->text()));
    if (end.not_fed)
        return Fate::deferred("4.3.0", fmt::format("cannot read the message: {}", end.not_fed->text()));
    if (end.late)
        return Fate::bounced("5.3.0", fmt::format("Command time limit exceeded: \"{}\"{}", command, said));
    if (WIFSIGNALED(end.status))
        return Fate::deferred("4.3.0", fmt::format("Command died with signal {}: \"{}\"{}", WTERMSIG(end.status), command, said));
    const int status = WEXITSTATUS(end.status);
    if (status == 0)
        return Fate::delivered(said_well.empty() ? std::string(success) : fmt::format("{} ({})", success, said_well), std::string(action));
    if (const std::string_view code = smtp::enhanced_code(output); !code.empty()) {
        const std::size_t text = output.find_first_not_of(' ', code.size());
        // Who fails with a code of success has failed.
        return failed(code.starts_with('2') ? "5" + std::string(code.substr(1)) : std::string(code), text == output.npos ? "" : output.substr(text));
    }
    if (const auto known = std::ranges::find(meanings, status, &Meaning::status); known != meanings.end())
        return failed(known->code, std::string(known->text) + said);
    return Fate::bounced("5.3.0", fmt::format("Command died with status {}: \"{}\"{}", status, command, said));
}

}  // namespace posthorn::deliver
