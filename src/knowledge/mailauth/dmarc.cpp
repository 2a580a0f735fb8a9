#include "mailauth/dmarc.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "message/address_list.hpp"
#include "message/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t most_author_domains = 10;

/// A domain that a check has vouched for, or would have.
struct Identifier {
    std::string domain;
    bool dkim = false;
    bool pass = false, temporary = false;
};

std::string a_label_name(std::string_view domain)
{
    const auto made = dns::to_a_labels(domain);
    return made ? to_lower(made->ends_with('.') ? std::string_view(*made).substr(0, made->size() - 1) : std::string_view(*made)) : std::string();
}

std::vector<Identifier> identifiers_of(const std::vector<Finding>& found)
{
    std::vector<Identifier> made;
    for (const Finding& finding : found) {
        const bool dkim = finding.method == "dkim";
        if (!dkim && finding.method != "spf")
            continue;
        for (const Property& property : finding.properties)
            if (dkim ? property.type == "header" && property.name == "d"
                     : property.type == "smtp" && (property.name == "mailfrom" || property.name == "helo"))
                made.push_back({.domain = a_label_name(std::string_view(property.value).substr(property.value.rfind('@') + 1)),
                                .dkim = dkim,
                                .pass = finding.result == "pass",
                                .temporary = finding.result == "temperror"});
    }
    return made;
}

/// Where a record was, and whether it is of the author's domain or of the organization's.
struct Discovered {
    std::optional<DmarcRecord> record;
    std::string text, domain;
    bool organization = false;
    std::string result, reason;                           // where there is none
};

/// Of one name. `result` empty: it has no record.
Discovered record_in(const dns::Answer& answer, std::string_view name)
{
    Discovered made;
    if (answer.transient()) {
        made.result = "temperror";
        made.reason = fmt::format("lookup of {} failed: {}", printable(name), printable(answer.reason.empty() ? "try again" : answer.reason));
        return made;
    }
    const dns::Record* only = nullptr;
    for (const dns::Record& record : answer.records) {
        if (record.type != dns::Type::txt || !is_dmarc_record(record.text))
            continue;
        if (only != nullptr) {
            made.result = "permerror";
            made.reason = fmt::format("several DMARC records of {}", printable(name));
            return made;
        }
        only = &record;
    }
    if (only == nullptr)
        return made;
    auto parsed = parse_dmarc_record(only->text);
    if (parsed) {
        made.record = *std::move(parsed);
        made.text = only->text;
        return made;
    }
    made.result = "permerror";
    made.reason = parsed.error().what();
    return made;
}

/// RFC 7489 6.6.3.
awaitable<Discovered> discover(std::string author, std::string organization, const Ask& ask)
{
    for (const std::string& domain : {author, organization}) {
        const std::string name = "_dmarc." + domain;
        if (!dns::is_queryable(name) || domain.empty())
            break;
        Discovered made = record_in(co_await ask(name, dns::Type::txt), name);
        made.organization = domain != author;
        made.domain = domain;
        if (made.record || !made.result.empty() || author == organization)
            co_return made;
    }
    co_return Discovered{};
}

DmarcPolicy sampled(DmarcPolicy policy, unsigned percent, unsigned random)
{
    // RFC 7489 6.6.4: what is not of the sample is treated one step milder.
    if (random < percent || policy == DmarcPolicy::none)
        return policy;
    return policy == DmarcPolicy::reject ? DmarcPolicy::quarantine : DmarcPolicy::none;
}

class DmarcCheck {
public:
    DmarcCheck(const DmarcRequest& request, const PublicSuffixes& suffixes, const Ask& ask)
        : random_(request.random), suffixes_(suffixes), ask_(ask), identifiers_(identifiers_of(request.found))
    {
    }

    awaitable<DmarcFinding> of(std::string author)
    {
        DmarcFinding finding;
        finding.method = "dmarc";
        finding.properties = {{.type = "header", .name = "from", .value = author}};
        const std::string organization = suffixes_.organizational_domain(author);
        Discovered discovered = co_await discover(author, organization, ask_);
        finding.reason = discovered.reason;
        finding.result = discovered.result.empty() ? "none" : discovered.result;
        if (!discovered.record)
            co_return finding;
        const DmarcRecord& record = *discovered.record;
        DmarcPublished published{.author = author, .domain = discovered.domain, .record = std::move(discovered.text)};
        bool temporary = false;
        for (const Identifier& identifier : identifiers_) {
            const bool strict = identifier.dkim ? record.strict_dkim : record.strict_spf;
            const bool aligned = strict ? identifier.domain == author : suffixes_.organizational_domain(identifier.domain) == organization;
            (identifier.dkim ? published.dkim : published.spf) |= aligned && identifier.pass;
            temporary |= aligned && identifier.temporary;
        }
        finding.result = published.dkim || published.spf ? "pass" : temporary ? "temperror" : "fail";
        finding.published = std::move(published);
        if (finding.result != "fail")
            co_return finding;
        const DmarcPolicy policy = discovered.organization ? record.subdomain_policy.value_or(record.policy) : record.policy;
        finding.asked = sampled(policy, record.percent, random_);
        finding.published->sampled_out = finding.asked != policy;
        finding.properties.push_back({.type = "policy", .name = "dmarc", .value = std::string(dmarc_policy_name(finding.asked))});
        co_return finding;
    }

private:
    unsigned random_;
    const PublicSuffixes& suffixes_;
    const Ask& ask_;
    const std::vector<Identifier> identifiers_;
};

/// Which of the authors' findings is the message's: the worst. One without a record beside one that passes is worse: whose name is it?
int weight(const DmarcFinding& finding)
{
    constexpr std::array<std::string_view, 5> from_mild{"pass", "none", "permerror", "temperror", "fail"};
    return static_cast<int>(std::ranges::find(from_mild, finding.result) - from_mild.begin()) * 10 + static_cast<int>(finding.asked);
}

}  // namespace

Authors authors_of(std::string_view head)
{
    Authors authors;
    bool any = false;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        if (!field->is("from"))
            continue;
        any = true;
        const message::AddressList list = message::parse_address_list(field->body);
        if (list.cut)
            return {.domains = {}, .problem = "too many authors"};
        for (const message::Address& address : list.addresses) {
            if (address.malformed)
                return {.domains = {}, .problem = "an author's address is malformed"};
            std::string domain = a_label_name(address.mailbox.domain);
            if (!domain.empty() && domain.front() != '[' && std::ranges::find(authors.domains, domain) == authors.domains.end())
                authors.domains.push_back(std::move(domain));
        }
    }
    if (!any)
        return {.domains = {}, .problem = "no From field"};
    if (authors.domains.size() > most_author_domains)
        return {.domains = {}, .problem = "too many authors"};
    return authors;
}

DmarcRequest::DmarcRequest(Authors of, std::vector<Finding> findings, unsigned number)
    : authors(std::move(of)), found(std::move(findings)), random(number % 100)
{
}

awaitable<DmarcFinding> check_dmarc(DmarcRequest request, const PublicSuffixes& suffixes, Ask ask)
{
    DmarcFinding worst;
    worst.method = "dmarc";
    worst.result = request.authors.problem.empty() ? "none" : "permerror";
    worst.reason = request.authors.problem;
    DmarcCheck check(request, suffixes, ask);
    bool first = true;
    for (const std::string& author : request.authors.domains) {
        DmarcFinding finding = co_await check.of(author);
        if (std::exchange(first, false) || weight(finding) > weight(worst))
            worst = std::move(finding);
    }
    co_return worst;
}

}  // namespace posthorn::mailauth
