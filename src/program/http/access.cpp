#include "http/access.hpp"

#include "base/strings.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::http {

namespace {

/// "name:port", "[::1]:port" without the port and the final dot; none where it is neither.
std::optional<std::string> name_in(std::string_view host)
{
    std::string_view name = host, port;
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        if (end == host.npos)
            return {};
        name = host.substr(0, end + 1);
        port = host.substr(end + 1);
    } else if (const auto colon = host.find(':'); colon != host.npos) {
        name = host.substr(0, colon);
        port = host.substr(colon);
    }
    if (!port.empty() && (port.front() != ':' || !std::ranges::all_of(port.substr(1), [](char c) { return c >= '0' && c <= '9'; })))
        return {};
    if (name.ends_with('.'))
        name.remove_suffix(1);
    return name.empty() ? std::nullopt : std::optional(to_lower(name));
}

}  // namespace

Result<Access> Access::make(const AccessWords& words, const config::List& clients, const config::List& hosts)
{
    Access access;
    access.words_ = words;
    for (const config::ListMember& member : clients) {
        auto network = member.kind == config::ListMember::Kind::text ? net::Network::parse(member.text) : Error{"no address or network"};
        if (!network)
            return Error{fmt::format("{}: {}: {}", words.clients, member.text, network.error().text())};
        access.clients_.push_back({*network, member.negated});
    }
    for (const config::ListMember& member : hosts) {
        if (member.kind != config::ListMember::Kind::text || member.negated)
            return Error{fmt::format("{}: {}: no name or address", words.hosts, member.text)};
        access.hosts_.push_back(to_lower(member.text));
    }
    return access;
}

Result<void> Access::set_token(std::string_view content)
{
    token_.clear();
    const std::string_view token = trim(content);
    if (content.empty())
        return {};
    if (content.size() > longest_token_file)
        return Error{fmt::format("the file is longer than {} octets: {}", longest_token_file, words_.without_token)};
    if (token.size() < shortest_token)
        return Error{fmt::format("the token is shorter than {} characters: {}", shortest_token, words_.without_token)};
    if (!std::ranges::all_of(token, [](char c) { return c > ' ' && c < 0x7f; }))
        return Error{fmt::format("the token is not one line of printable characters without blanks: {}", words_.without_token)};
    token_ = token;
    return {};
}

bool Access::admits(const net::Endpoint& client) const
{
    if (client.is_unix())
        return true;
    const auto found = std::ranges::find_if(clients_, [&](const Rule& rule) { return rule.network.contains(client.ip); });
    return found != clients_.end() && !found->negated;
}

std::optional<Answer> Access::refuses_host(const Request& request, const net::Endpoint& local) const
{
    if (request.host.size() > 1 || (request.host.empty() && !request.old))
        return error_answer(400, "exactly one Host is needed");
    if (local.is_unix() || request.host.empty())
        return {};
    const auto name = name_in(request.host.front());
    if (!name)
        return error_answer(400, "a Host that is none");
    if (std::ranges::find(hosts_, *name) != hosts_.end())
        return {};
    if (const auto address = net::IpAddress::parse(*name))
        if (*address == local.ip || std::ranges::find(hosts_, address->text()) != hosts_.end())
            return {};
    return error_answer(421, fmt::format("this Host is none of {}", words_.hosts));
}

std::optional<Answer> Access::refuses_token(const Request& request) const
{
    if (!has_token())
        return error_answer(403, fmt::format("{} here: {} names no token", words_.without_token, words_.token_file));
    constexpr std::string_view scheme = "bearer ";
    const std::string_view said = request.authorization;
    if (istarts_with(said, scheme) && tls::same_octets(trim(said.substr(scheme.size())), token_))
        return {};
    Answer refusal = error_answer(401, said.empty() ? "a token is needed: Authorization: Bearer TOKEN" : "the token is not the right one");
    refusal.fields.emplace_back("WWW-Authenticate", "Bearer");
    return refusal;
}

}  // namespace posthorn::http
