// heard/letter.hpp: the report in a mail.                                        RFC 7489 7.2.1.1, RFC 8460 5.3, RFC 2045, RFC 3834
// Shape    a mail of any form, or one that is the report alone. What is looked at is chosen by type or by the ending of a name; what it is, its first
//          octets say: senders call gzip a zip, and XML octet-stream.
// Errors   said with what was wrong, and with the name of the part; the first of several, where none can be read.
// Bounds   octets unpacked and of a mail; parts that are looked at.
// Trust    none.
// Pure.
#pragma once

#include "heard/report.hpp"

#include <optional>

namespace posthorn::heard {

inline constexpr std::size_t most_unpacked = 33'554'432, largest_letter = 26'214'400;

struct Letter {
    std::vector<Report> reports;  // of one mail: several where it tells of several domains
    std::string author;  // its From
    std::string proof;  // what smtpd found of it (mailauth_checks): "dkim=pass spf=pass dmarc=pass"; empty: nothing is known
    /// A program wrote it, or it is a report of some kind: nobody is told that it could not be read.
    bool automatic = false;
    std::optional<Error> wrong;  // why there are no reports
};

/// `service_id`: mailauth_service_id, whose Authentication-Results are our own; empty: none is.
Letter read_letter(std::string_view mail, std::string_view service_id);

}  // namespace posthorn::heard
