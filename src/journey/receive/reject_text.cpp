#include "receive/reject_text.hpp"

#include "base/strings.hpp"
#include "config/expand.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace posthorn::receive {

namespace {

std::string local_time(WallTime now)
{
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%b %e %H:%M:%S", &parts);
    return {text.data(), length};
}

bool has_code(std::string_view reply) { return reply.size() >= 3 && is_digit(reply[0]) && is_digit(reply[1]) && is_digit(reply[2]); }

}  // namespace

Result<std::string> with_footer(std::string_view reply, std::string_view footer, const FooterFacts& facts)
{
    if (!has_code(reply) || footer.empty())
        return std::string(reply);
    const bool same_line = footer.starts_with("\\c");
    if (same_line)
        footer.remove_prefix(2);
    const std::string address = facts.filter(facts.client_address), port = facts.filter(std::to_string(facts.client_port)),
                      now = facts.filter(local_time(facts.now)), server = facts.filter(facts.server_name);
    std::string unknown;
    TRY(const std::string text, config::expand(footer, [&](std::string_view name) -> std::optional<std::string_view> {
            if (name == "client_address")
                return address;
            if (name == "client_port")
                return port;
            if (name == "localtime")
                return now;
            if (name == "server_name")
                return server;
            unknown = name;
            return std::nullopt;
        }));
    if (!unknown.empty())
        return Error(fmt::format("unknown macro name \"{}\"", unknown));

    const std::size_t last = reply.rfind("\r\n") == reply.npos ? 0 : reply.rfind("\r\n") + 2;
    const std::string code(reply.substr(0, 3));
    const std::string_view said = reply.substr(std::min(last + 4, reply.size()));
    const std::string status(smtp::enhanced_code(said));
    std::string made(reply);
    bool first = true;
    std::string_view rest = text;
    for (bool more = true; more; first = false) {
        const std::size_t at = rest.find("\\n");
        more = at != rest.npos;
        const std::string line = printable(rest.substr(0, at), true);
        rest.remove_prefix(more ? at + 2 : rest.size());
        if (first && same_line) {
            made += line;
            continue;
        }
        // The line before it is not the last any more.
        const std::size_t start = made.rfind("\r\n") == made.npos ? 0 : made.rfind("\r\n") + 2;
        if (made.size() > start + 3)
            made[start + 3] = '-';
        else
            made += '-';
        made += fmt::format("\r\n{} {}{}{}", code, status, status.empty() ? "" : " ", line);
    }
    return made;
}

Result<std::string> filtered_reply(std::string_view result)
{
    const std::string_view text = trim(result);
    if (!has_code(text) || (text[0] != '4' && text[0] != '5') || (text.size() > 3 && text[3] != ' '))
        return Error(fmt::format("\"{}\" is no 4xx or 5xx reply", printable(text)));
    return printable(text, true);
}

}  // namespace posthorn::receive
