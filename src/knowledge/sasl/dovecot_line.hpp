// sasl/dovecot_line.hpp: the lines of Dovecot's authentication protocol, 1.x. Pure.              Dovecot, "Authentication Protocol"
// Shape    fields by TAB, a line by LF; in a field \001 escapes: 0 NUL, 1 \001, t TAB, n LF, r CR.
// Trust    the other end is a server of ours that main.cf names; yet a line that is none is told as one, and no view leaves the text.
#pragma once

#include "sasl/server.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::sasl {

struct DovecotLine {
    enum class Kind : std::uint8_t {
        version,        // numbers: major, minor
        mechanism,      // name, offered (not where it is `private`)
        spid,           // said by the socket for clients, never by the one for masters
        done,           // the handshake is over
        answer,         // id
        other,          // to be passed over: what a newer server says
        wrong,
    };
    Kind kind = Kind::other;
    std::uint32_t major = 0, minor = 0;
    std::uint32_t id = 0;
    std::string name;
    Properties has;
    bool is_private = false;
    Answer answer;
};

DovecotLine parse_dovecot_line(std::string_view line);

std::string escape_dovecot(std::string_view field);
/// What no escape stands for stays as it is.
std::string unescape_dovecot(std::string_view field);

/// With LF. `service` as in smtpd_sasl_service.
std::string dovecot_greeting(std::uint64_t process);
std::string dovecot_question(std::uint32_t id, const Question& question, std::string_view service);
std::string dovecot_response(std::uint32_t id, std::string_view response);
std::string dovecot_cancel(std::uint32_t id);

}  // namespace posthorn::sasl
