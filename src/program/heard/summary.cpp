#include "heard/summary.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::heard {

namespace {

constexpr std::size_t most_organizations = 1'000;

struct Meaning {
    std::string_view type, words;
};
// RFC 8460 4.3
constexpr Meaning meanings[] = {
    {"starttls-not-supported", "The server did not offer STARTTLS: set smtpd_tls_security_level = may, or look for what strips it on the way."},
    {"certificate-host-mismatch", "The certificate does not have the name of the MX record: get one that has it, or change the record."},
    {"certificate-expired", "The certificate was past its date: renew it and reload."},
    {"certificate-not-trusted",
     "The certificate leads to no authority that the sender trusts: send the intermediate certificates too, behind your own."},
    {"validation-failure", "The certificate or the handshake was not accepted, for a reason that the sender does not name."},
    {"tlsa-invalid", "No TLSA record fits the certificate or the key: publish the new one before the certificate changes."},
    {"dnssec-invalid", "The DNSSEC of the zone does not validate: look at its signatures and the DS record."},
    {"dane-required", "The sender insists on DANE and the server has no usable TLSA record."},
    {"sts-policy-fetch-error", "The policy of MTA-STS could not be fetched: look at https://mta-sts.DOMAIN/.well-known/mta-sts.txt."},
    {"sts-policy-invalid", "The policy of MTA-STS is malformed: look at its version, mode, mx and max_age."},
    {"sts-webpki-invalid", "The server that has the policy of MTA-STS showed a certificate that is not valid for mta-sts.DOMAIN."},
};

std::string advice_of(const std::string& domain, bool ours, std::uint64_t good, std::uint64_t bad, std::uint64_t refused, std::string_view cause)
{
    if (bad == 0)
        return "Aligned.";
    if (ours)
        return fmt::format("This is one of our own addresses: {}.", cause);
    if (good > 0)
        return fmt::format("Some of it is aligned: mail of yours that was changed or forwarded on the way, or a service that is set up in part ({}).",
                           cause);
    if (refused == bad)
        return "Not yours by its looks, and refused everywhere: the policy does its work.";
    return fmt::format("Forgers, or a service of yours that has to sign as {}: {}.", domain, cause);
}

}  // namespace

std::string_view tls_meaning(std::string_view type)
{
    const auto found = std::ranges::find(meanings, type, &Meaning::type);
    return found == std::end(meanings) ? std::string_view("The sender does not say what failed.") : found->words;
}

void Summary::add(const Entry& entry)
{
    Sum& sum = sums_[{entry.report.kind, entry.report.domain}];
    ++sum.reports;
    sum.good += entry.report.good;
    sum.bad += entry.report.bad;
    auto& [good, bad] = sum.days[entry.day];
    good += entry.report.good;
    bad += entry.report.bad;
    if (!entry.report.policy.empty() && entry.origin.arrived >= sum.policy_at) {
        sum.policy = entry.report.policy;
        sum.policy_at = entry.origin.arrived;
    }
}

void Summary::add(const Entry& entry, const Row& row)
{
    const bool dmarc = entry.report.kind == aggregate::Kind::dmarc;
    if (!dmarc && row.good)
        return;
    Sum& sum = sums_[{entry.report.kind, entry.report.domain}];
    const handoff::TlsFailure& failure = row.tls.failure();
    std::pair<std::string, std::string> place{dmarc ? row.dmarc.source() : failure.type(), ""};
    if (!dmarc)
        place.second = failure.host().empty() ? failure.to() : failure.host();
    if (!sum.found.contains(place)) {
        if (found_ >= most_found)
            place = {"others", ""};
        else
            ++found_;
    }
    Source& source = sum.found[std::move(place)];
    (row.good ? source.good : source.bad) += row.count;
    if (source.organizations.size() < most_organizations)
        source.organizations.insert(entry.report.organization);
    if (!dmarc)
        return;
    if (row.dmarc.disposition() != "none" && !row.dmarc.disposition().empty()) {
        source.refused += row.count;
        sum.refused += row.count;
    }
    if (row.good)
        return;
    const auto& signatures = row.dmarc.signatures();
    const auto broken = std::ranges::find_if(signatures, [](const auto& one) { return one.result() != "pass" && one.result() != "none"; });
    const auto passed = std::ranges::find(signatures, "pass", &handoff::DmarcRow::Dkim::result);
    if (passed != signatures.end()) {
        source.signed_elsewhere += row.count;
        source.signer = passed->domain();
    } else if (broken != signatures.end()) {
        source.broken += row.count;
        source.signer = broken->domain();
    } else
        source.unsigned_mail += row.count;
    source.envelope = row.dmarc.spf_domain();
    source.spf = row.dmarc.spf_result();
}

handoff::HeardSum::Finding Summary::dmarc_finding(const std::string& domain, const std::string& address, const Source& source) const
{
    std::string cause;
    if (source.bad > 0) {
        if (source.signed_elsewhere >= source.broken && source.signed_elsewhere >= source.unsigned_mail)
            cause = fmt::format("it is signed as {}, which is not aligned with {}", source.signer.empty() ? "another domain" : source.signer, domain);
        else if (source.broken >= source.unsigned_mail)
            cause = fmt::format("its signature{} does not verify (changed on the way, or another key in the DNS)",
                                source.signer.empty() ? "" : " of " + source.signer);
        else
            cause = "it is not signed (dkim_sign_maps)";
        if (source.spf == "pass")
            cause += fmt::format("; SPF passes for {}, which is not aligned", source.envelope.empty() ? "another domain" : source.envelope);
        else if (!source.envelope.empty())
            cause += fmt::format("; SPF of {} says {}", source.envelope, source.spf.empty() ? "nothing" : source.spf);
    }
    handoff::HeardSum::Finding finding;
    finding.set_ours(ours(address));
    finding.set_act(finding.ours() && source.bad > 0);
    finding.set_what(address.empty() ? "unknown" : address);
    finding.set_advice(advice_of(domain, finding.ours(), source.good, source.bad, source.refused, cause));
    return finding;
}

std::vector<handoff::HeardSum> Summary::sums(std::size_t findings) const
{
    std::vector<handoff::HeardSum> all;
    for (const auto& [key, sum] : sums_) {
        const auto& [kind, domain] = key;
        handoff::HeardSum& told = all.emplace_back();
        told.set_kind(std::string(aggregate::kind_name(kind)));
        told.set_domain(domain);
        told.set_policy(sum.policy);
        told.set_good(sum.good);
        told.set_bad(sum.bad);
        told.set_refused(sum.refused);
        told.set_reports(sum.reports);
        for (auto day = sum.days.rbegin(); day != sum.days.rend(); ++day) {
            handoff::HeardSum::Day& one = *told.add_days();
            one.set_day(day->first.time_since_epoch().count());
            one.set_good(day->second.first);
            one.set_bad(day->second.second);
        }
        std::vector<handoff::HeardSum::Finding> found;
        for (const auto& [place, source] : sum.found) {
            handoff::HeardSum::Finding& finding = found.emplace_back();
            if (kind == aggregate::Kind::dmarc)
                finding = dmarc_finding(domain, place.first, source);
            else {
                finding.set_act(true);
                finding.set_what(place.first);
                finding.set_where(place.second);
                finding.set_advice(std::string(tls_meaning(place.first)));
            }
            finding.set_good(source.good);
            finding.set_bad(source.bad);
            finding.set_refused(source.refused);
            finding.set_organizations(static_cast<std::uint32_t>(source.organizations.size()));
        }
        std::ranges::sort(found, [](const auto& a, const auto& b) {
            return std::tuple(b.act(), b.bad(), b.good(), a.what(), a.where()) < std::tuple(a.act(), a.bad(), a.good(), b.what(), b.where());
        });
        for (std::size_t at = 0; at < std::min(found.size(), findings); ++at)
            *told.add_findings() = std::move(found[at]);
        told.set_more_findings(static_cast<std::uint32_t>(found.size() - std::min(found.size(), findings)));
    }
    std::ranges::sort(all, [](const handoff::HeardSum& a, const handoff::HeardSum& b) {
        const auto urgent = [](const handoff::HeardSum& sum) { return sum.findings_size() > 0 && sum.findings(0).act(); };
        return std::tuple(urgent(b), b.bad(), a.domain(), a.kind()) < std::tuple(urgent(a), a.bad(), b.domain(), b.kind());
    });
    return all;
}

std::string row_text(aggregate::Kind kind, const Row& row)
{
    if (kind == aggregate::Kind::tls) {
        const handoff::TlsFailure& failure = row.tls.failure();
        std::string text = row.tls.policy().type();
        if (!row.tls.has_failure())
            return text + ": as it asks";
        text += fmt::format(": {}", failure.type());
        for (const auto& [word, value] : {std::pair<std::string_view, const std::string*>{"at", &failure.host()},
                                          {"with address", &failure.to()},
                                          {"from", &failure.from()},
                                          {"because", &failure.reason()}})
            if (!value->empty())
                text += fmt::format(" {} {}", word, *value);
        return text;
    }
    const handoff::DmarcRow& said = row.dmarc;
    std::string text = fmt::format("{} {}: aligned by {}", said.source().empty() ? "unknown" : said.source(),
                                   said.disposition().empty() ? "none" : said.disposition(),
                                   said.dkim() && said.spf() ? "DKIM and SPF"
                                   : said.dkim()             ? "DKIM"
                                   : said.spf()              ? "SPF"
                                                             : "nothing");
    for (const handoff::DmarcRow::Dkim& one : said.signatures())
        text += fmt::format(", DKIM {}{}{} {}", one.domain(), one.selector().empty() ? "" : "/", one.selector(), one.result());
    if (!said.spf_domain().empty() || !said.spf_result().empty())
        text += fmt::format(", SPF {} {}", said.spf_domain(), said.spf_result());
    if (!said.header_from().empty())
        text += fmt::format(", From {}", said.header_from());
    if (!said.reason().empty())
        text += fmt::format(", {} {}", said.reason(), said.comment());
    return text;
}

}  // namespace posthorn::heard
