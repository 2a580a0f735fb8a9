// smtp/verb.hpp: the verbs of SMTP and LMTP, as a table shared by client, server, gate and tester.
// Shape    a verb is four to nine letters, case does not matter (RFC 5321 2.4).
// ends_group   nothing may follow it in one flight: RFC 2920 3.1 (EHLO DATA VRFY EXPN TURN QUIT NOOP), RFC 3207 (STARTTLS), RFC 4954
//              (AUTH, a dialogue of its own), XCLIENT (the server starts over with a greeting). HELO predates PIPELINING and counts likewise.
// octets_follow   BDAT: so many octets of content follow the line, then the next command may (RFC 3030 2).
// before_tls   allowed before STARTTLS where TLS is enforced (RFC 3207 4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace posthorn::smtp {

enum class VerbId : std::uint8_t {
    ehlo,
    helo,
    lhlo,
    mail,
    rcpt,
    data,
    bdat,
    rset,
    noop,
    vrfy,
    expn,
    etrn,
    quit,
    starttls,
    auth,
    help,
    xclient,
    xforward,
    turn,
};

struct Verb {
    VerbId id;
    std::string_view name;
    bool ends_group = false;
    bool before_tls = false;
    bool octets_follow = false;
};

inline constexpr std::array verbs{
    Verb{.id = VerbId::ehlo, .name = "EHLO", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::helo, .name = "HELO", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::lhlo, .name = "LHLO", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::mail, .name = "MAIL"},
    Verb{.id = VerbId::rcpt, .name = "RCPT"},
    Verb{.id = VerbId::data, .name = "DATA", .ends_group = true},
    Verb{.id = VerbId::bdat, .name = "BDAT", .octets_follow = true},
    Verb{.id = VerbId::rset, .name = "RSET"},
    Verb{.id = VerbId::noop, .name = "NOOP", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::vrfy, .name = "VRFY", .ends_group = true},
    Verb{.id = VerbId::expn, .name = "EXPN", .ends_group = true},
    Verb{.id = VerbId::etrn, .name = "ETRN"},
    Verb{.id = VerbId::quit, .name = "QUIT", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::starttls, .name = "STARTTLS", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::auth, .name = "AUTH", .ends_group = true},
    Verb{.id = VerbId::help, .name = "HELP"},
    Verb{.id = VerbId::xclient, .name = "XCLIENT", .ends_group = true, .before_tls = true},
    Verb{.id = VerbId::xforward, .name = "XFORWARD"},
    Verb{.id = VerbId::turn, .name = "TURN", .ends_group = true},
};

constexpr const Verb& verb(VerbId id) { return verbs[static_cast<std::size_t>(id)]; }
constexpr std::string_view name(VerbId id) { return verb(id).name; }
constexpr bool ends_group(VerbId id) { return verb(id).ends_group; }

/// By name, without regard to case; null where it is none of ours.
const Verb* find_verb(std::string_view name);

}  // namespace posthorn::smtp
