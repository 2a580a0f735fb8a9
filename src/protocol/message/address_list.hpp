// message/address_list.hpp: the addresses of From, To, Cc and their kin.              RFC 5322 3.4, 4.4, RFC 6532
// Shape    mailboxes and groups, separated by commas, or, as in Postfix, by white space alone where no word can be of the address before it; empty members, comments, quoted strings, source routes and the local names of
//          local mail are taken. White space may be folding.
// Units    offset and length mark the address itself in the text (for `N <@r:a@b>` it is `@r:a@b`): what a rewriting replaces.
// Owns     its text. Trust: none; UTF-8 is passed on, checked by nobody here. A member that is no address is marked, and left alone.
// Limits   max_tokens (header_address_token_limit): what lies beyond is not looked at, `cut` says so.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/path.hpp"

namespace posthorn::message {

struct Address {
    smtp::Mailbox mailbox;
    std::string display;  ///< the phrase before `<`, or else the comment after the address; quotes and folding taken off
    std::string group;  ///< name of the group that it is a member of, group_limit octets of it: each member has a copy
    std::size_t offset = 0, length = 0;
    bool angled = false;  ///< it stands between < and >
    std::size_t missing_comma = 0;  ///< where it belongs, behind the member before, where white space alone parts them; 0: none is missing
    bool malformed = false;  ///< no address: mailbox is empty, nothing is to be rewritten
};

inline constexpr std::size_t group_limit = 200;

struct AddressList {
    std::vector<Address> addresses;
    bool cut = false;
};

AddressList parse_address_list(std::string_view text, std::size_t max_tokens = 10240);

/// A new mailbox for one that stands in a field; none leaves it as it is.
using Rewrite = std::function<std::optional<smtp::Mailbox>(const smtp::Mailbox&)>;

/// The text with exactly the changed addresses replaced, all else (names, comments, folding) untouched. None: nothing changed.
std::optional<std::string> rewrite_addresses(std::string_view text, const Rewrite& rewrite, std::size_t max_tokens = 10240);

}  // namespace posthorn::message
