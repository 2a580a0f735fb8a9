// heard/summary.hpp: what reports come to, in the order of what needs action, with a sentence of advice.
// DMARC    by source address: how much was aligned, by DKIM or SPF; a source that is ours and fails comes first, since it can be mended here.
// TLS      by what failed and at which server of ours (RFC 8460 4.3).
// Bounds   so many sources and failures in all; those beyond are counted as "others" of their domain.
// Pure.
#pragma once

#include "handoff/heard.pb.h"
#include "heard/ledger.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::heard {

class Summary {
public:
    static constexpr std::size_t most_found = 50'000;
    /// `own`: the addresses that mail of this machine has, as text.
    explicit Summary(const std::set<std::string>& own) : own_(own) {}
    void add(const Entry& entry);
    void add(const Entry& entry, const Row& row);
    /// Of each at most so many findings.
    std::vector<handoff::HeardSum> sums(std::size_t findings) const;

private:
    struct Source {
        std::uint64_t good = 0, bad = 0, refused = 0;
        std::uint64_t unsigned_mail = 0, broken = 0, signed_elsewhere = 0;      // of the bad: what DKIM was
        std::string signer, envelope, spf;                              // of a bad row: who signed it, its SPF domain and result
        std::set<std::string> organizations;
    };
    struct Sum {
        std::string policy;
        WallTime policy_at{};
        std::uint64_t good = 0, bad = 0, refused = 0;
        unsigned reports = 0;
        std::map<aggregate::Day, std::pair<std::uint64_t, std::uint64_t>> days;
        std::map<std::pair<std::string, std::string>, Source> found;    // by address and nothing; by result type and server
    };
    bool ours(const std::string& address) const { return own_.contains(address); }
    handoff::HeardSum::Finding dmarc_finding(const std::string& domain, const std::string& address, const Source& source) const;

    const std::set<std::string>& own_;
    std::map<std::pair<aggregate::Kind, std::string>, Sum> sums_;
    std::size_t found_ = 0;
};

/// What a failure of TLS that others met at our servers means, and what to do: "certificate-expired".
std::string_view tls_meaning(std::string_view type);

/// A row in words: "192.0.2.1 reject: DKIM example.com/s1 fail, SPF bounce.example.com softfail".
std::string row_text(aggregate::Kind kind, const Row& row);

}  // namespace posthorn::heard
