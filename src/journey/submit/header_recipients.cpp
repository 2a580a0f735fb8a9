#include "submit/header_recipients.hpp"

#include "base/strings.hpp"
#include "message/address_list.hpp"
#include "message/header.hpp"

#include <unordered_set>

namespace posthorn::submit {

namespace {

/// A list of many recipients is a list all the same; the header that holds it is bounded by its reader.
constexpr std::size_t most_tokens = 4'000'000;

void add_from(std::string_view body, std::vector<std::string>& addresses)
{
    for (const message::Address& address : message::parse_address_list(body, most_tokens).addresses) {
        if (address.malformed || address.mailbox.null())
            continue;
        addresses.push_back(address.mailbox.text());
    }
}

/// Each once, the first stays.
std::vector<std::string> unique(std::vector<std::string> addresses)
{
    std::unordered_set<std::string> seen;
    std::erase_if(addresses, [&](const std::string& address) { return !seen.insert(address).second; });
    return addresses;
}

}  // namespace

std::vector<std::string> header_recipients(std::string_view header)
{
    std::vector<std::string> plain, resent;
    bool is_resent = false;
    message::HeaderWalk walk(header);
    while (const auto field = walk.next()) {
        if (message::address_field(field->name) != message::AddressField::recipient)
            continue;
        const bool again = message::is_resent(field->name);
        is_resent |= again;
        add_from(message::unfold(field->body, field->body.size()), again ? resent : plain);
    }
    return unique(is_resent ? std::move(resent) : std::move(plain));
}

Result<std::vector<std::string>> command_line_recipients(std::string_view word)
{
    std::vector<std::string> addresses;
    for (const message::Address& address : message::parse_address_list(word).addresses)
        if (address.malformed)
            return Error{"bad recipient address: " + printable(word, true), "5.1.3"};
    add_from(word, addresses);
    if (addresses.empty())
        return Error{"bad recipient address: " + printable(word, true), "5.1.3"};
    return unique(std::move(addresses));
}

}  // namespace posthorn::submit
