#include "tables/own.hpp"

#include "base/strings.hpp"
#include "tables/params.hpp"
#include "tables/source.hpp"

#include <netdb.h>

#include <arpa/inet.h>

namespace posthorn::tables {

namespace {

std::string bare(const config::HostAddress& address)
{
    std::string text = address.text();
    return text.starts_with('[') ? text.substr(1, text.size() - 2) : text;
}

/// Names in the list are looked up by the system's resolver: this is start-up, before anything is confined.
void add_host(const std::string& name, std::vector<std::string>& addresses)
{
    std::string_view literal = name;
    if (literal.starts_with('[') && literal.ends_with(']'))
        literal = literal.substr(1, literal.size() - 2);
    if (parse_address(literal)) {
        addresses.emplace_back(literal);
        return;
    }
    ::addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0)
        return;
    for (const ::addrinfo* at = list; at != nullptr; at = at->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (::getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
            addresses.emplace_back(text.data());
    }
    ::freeaddrinfo(list);
}

}  // namespace

Result<std::string> origin_of(std::string text, FileOpener& opener)
{
    if (!text.starts_with('/'))
        return text;
    TRY(const Fd fd, opener.open(text));
    TRY(const std::string content, read_all(fd.get()));
    Warnings warnings;
    LogicalLines lines(content, text, warnings);
    LogicalLine line;
    if (!lines.next(line))
        return Error{"file " + text + ": empty file, expected a domain name"};
    return std::string(trim(line.text));
}

OwnOptions OwnOptions::from(const config::Snapshot& snapshot, std::span<const config::HostAddress> interfaces, FileOpener& opener)
{
    OwnOptions options;
    options.mydestination = snapshot.get(tables::mydestination);
    options.parent_style = tables::parent_style(snapshot.get(parent_domain_matches_subdomains), "mydestination");
    options.delimiter = {snapshot.get(recipient_delimiter), snapshot.get(owner_request_special), snapshot.get(double_bounce_sender)};
    options.flags.utf8 = snapshot.get(smtputf8_enable);
    auto origin = origin_of(snapshot.get(tables::myorigin), opener);
    if (!origin)
        throw config::BadValue("parameter myorigin: " + origin.error().what());
    options.myorigin = std::move(*origin);
    const std::string chosen = snapshot.text("inet_interfaces");
    for (const std::string_view word : split(chosen, " \t\r\n,")) {
        if (iequals(word, "all"))
            for (const auto& address : interfaces)
                options.addresses.push_back(bare(address));
        else if (iequals(word, "loopback-only"))
            options.addresses.insert(options.addresses.end(), {"127.0.0.1", "::1"});
        else
            add_host(std::string(word), options.addresses);
    }
    for (const std::string_view word : split(snapshot.get(proxy_interfaces), " \t\r\n,"))
        add_host(std::string(word), options.addresses);
    return options;
}

OwnDomains::OwnDomains(const OwnOptions& options, Tables& tables)
    : myorigin_(options.myorigin), mydestination_(ListKind::domains, "mydestination", options.mydestination, options.parent_style, tables)
{
    for (const std::string& text : options.addresses)
        if (const auto address = parse_address(text))
            addresses_.push_back(*address);
}

bool OwnDomains::own_literal(std::string_view domain) const
{
    if (domain.size() < 3 || domain.front() != '[' || domain.back() != ']')
        return false;
    domain = domain.substr(1, domain.size() - 2);
    if (istarts_with(domain, "IPv6:"))
        domain.remove_prefix(5);
    return own_address(domain);
}

bool OwnDomains::own_address(std::string_view text) const
{
    const auto address = parse_address(text);
    return address && std::ranges::any_of(addresses_, [&](const Address& own) { return own.v6 == address->v6 && own.bits == address->bits; });
}

Result<bool> OwnDomains::destination(Lookups& lookups, std::string_view domain) const
{
    if (own_literal(domain))
        return true;
    return mydestination_.matches(lookups, domain);
}

Result<bool> OwnDomains::local(Lookups& lookups, std::string_view domain) const
{
    if (iequals(domain, myorigin_))
        return true;
    return destination(lookups, domain);
}

}  // namespace posthorn::tables
