// smtp/path.hpp: a mailbox, as it stands between < and > of MAIL and RCPT.        RFC 5321 4.1.2, 4.1.3, RFC 6531
// Shape    local part (kept dequoted: `a b`, not `"a b"`), domain as the peer wrote it less a final dot, or an address literal with its
//          brackets. No case is folded. Empty local part and no domain: the null path `<>`. "postmaster" alone has no domain.
// Trust    a domain that parsed is a syntactically valid host name or literal; non-ASCII octets are valid UTF-8.
// Lenient  what Postfix takes without strict_rfc821_envelopes: no brackets, comments, a display name inside the token, group syntax,
//          an empty local part. Source routes `@a,@b:` are dropped in both (RFC 5321 C).
// Owns     its text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::smtp {

struct Mailbox {
    std::string local;   ///< dequoted
    std::string domain;  ///< "example.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", or empty

    bool null() const { return local.empty() && domain.empty(); }
    bool literal() const { return domain.starts_with('['); }
    /// What tables and logs see: `a b@example.test`.
    std::string text() const;
    /// What goes over the wire, without brackets: `"a b"@example.test`.
    std::string quoted() const;
    /// Does it need SMTPUTF8?
    bool internationalized() const;

    bool operator==(const Mailbox&) const = default;
};

struct PathOptions {
    bool strict = false;         ///< strict_rfc821_envelopes
    bool utf8 = true;            ///< smtputf8_enable: octets above 127 are UTF-8 and may stand in a domain
    std::size_t max_length = 0;  ///< of the whole text; 0: the line is the limit
};

/// The text of a path: `<a@b>` and the lenient forms. None where the syntax is bad.
std::optional<Mailbox> parse_path(std::string_view text, const PathOptions& options = {});

/// A mailbox out of its inner form `local@domain` (split at the last @), as tables and the queue hold it. Nothing is checked.
Mailbox mailbox_of(std::string_view text);

/// A host name: letters, digits, - and _, labels of 1..63, 255 in all, not all digits and dots; with `utf8`, valid UTF-8 beyond ASCII.
bool is_valid_hostname(std::string_view name, bool utf8 = false);
/// `[192.0.2.1]` or `[IPv6:...]`.
bool is_valid_literal(std::string_view text);
/// The address within a literal ("192.0.2.1", "2001:db8::1"); empty where it is none.
std::string_view literal_address(std::string_view text);
bool is_ipv4(std::string_view text);
bool is_ipv6(std::string_view text);

/// The local part as it must stand in a command: quoted only where it is not a dot-string.
std::string quote_local(std::string_view local);
/// An address as envelopes hold it (`a b@x.test`), as it stands in commands, listings and the log: `"a b"@x.test`. Pure; "" stays "".
std::string external_address(std::string_view address);

}  // namespace posthorn::smtp
