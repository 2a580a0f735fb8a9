// aggregate/report.hpp: one day's report of one domain, as who asked for it reads it.
// TLS      JSON, RFC 8460 4.4: a policy at a time, with how many sessions were as it asks and what was wrong with the others.
// DMARC    XML, RFC 7489 appendix C, version 1.0: a record for each client, identifiers and results, with a count.
// Day      00:00 to 24:00 UTC.
// Trust    none of what others said: JSON and XML are escaped, what is no UTF-8 or a control octet becomes "?".
// Pure.
#pragma once

#include "base/clock.hpp"
#include "handoff/aggregate.pb.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::aggregate {

enum class Kind : std::uint8_t { tls = 1, dmarc = 2 };
/// "tls", "dmarc".
std::string_view kind_name(Kind kind);

using Day = std::chrono::sys_days;

/// Who reports, about whom.
struct About {
    Kind kind = Kind::tls;
    std::string domain;
    Day day;
    unsigned part = 1;           // several where one was sent before its day was over
    std::string organization, address;
    /// The domain of `address`: whom reports call the submitter.
    std::string submitter() const;
    /// The same whenever it is made, so that who has had it knows it: "2026-11-27.1.tls.example.com@ours.test".
    std::string id() const;
    /// "ours.test!example.com!1764201600!1764287999.json.gz"
    std::string file_name() const;
};

struct TlsRow {
    handoff::TlsPolicy policy;
    handoff::TlsFailure failure;     // type empty: none
    std::uint64_t count = 0;
};
std::string tls_report(const About& about, const std::vector<TlsRow>& rows);

struct DmarcRow {
    handoff::DmarcRow row;
    std::uint64_t count = 0;
};
/// `record`: as it was published last. `left_out`: messages whose rows had no room.
std::string dmarc_report(const About& about, std::string_view record, const std::vector<DmarcRow>& rows, std::uint64_t left_out);

/// What a person reads first: how many were as they should be, and what was wrong most often.
std::string tls_summary(const About& about, const std::vector<TlsRow>& rows);
std::string dmarc_summary(const About& about, const std::vector<DmarcRow>& rows, std::uint64_t left_out);

/// RFC 1952.
std::string gzip(std::string_view octets);

/// The mail that takes it there: RFC 8460 5.3, RFC 7489 7.2.1.1. Lines end in CRLF.
struct Letter {
    std::string to, summary, attachment;     // the attachment is compressed
};
std::string letter_text(const About& about, const Letter& letter, WallTime now);

}  // namespace posthorn::aggregate
