#include "mailauth/spf.hpp"

#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "mailauth/spf_macro.hpp"
#include "mailauth/spf_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace posthorn::mailauth {

namespace {

constexpr int most_asking_terms = 10, most_void_terms = 2;
constexpr std::size_t most_names = 10;

enum class SpfResult : std::uint8_t { none, neutral, pass, fail, softfail, temperror, permerror };
constexpr std::array<std::string_view, 7> spf_result_names{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};

struct SpfVerdict {
    SpfResult result = SpfResult::none;
    std::string exp, domain;                        // of a fail: where its explanation is, in a macro-string, and whose record says so
};

enum class SpfMatch : std::uint8_t { no, yes, temperror, permerror };

constexpr SpfResult result_of(char qualifier)
{
    switch (qualifier) {
    case '-': return SpfResult::fail;
    case '~': return SpfResult::softfail;
    case '?': return SpfResult::neutral;
    default: return SpfResult::pass;
    }
}

std::string without_dot(std::string_view name) { return std::string(name.ends_with('.') ? name.substr(0, name.size() - 1) : name); }

/// U-labels go to the DNS as A-labels (RFC 8616 4); what cannot is no domain.
std::string domain_to_ask(std::string_view name)
{
    const auto made = dns::to_a_labels(name);
    return made ? without_dot(*made) : std::string();
}

bool is_within(std::string_view name, std::string_view domain)
{
    return iequals(name, domain) || (name.size() > domain.size() && iends_with(name, domain) && name[name.size() - domain.size() - 1] == '.');
}

bool same_network(std::string_view a, std::string_view b, unsigned bits)
{
    const std::size_t whole = bits / 8;
    const unsigned rest = bits % 8;
    if (a.substr(0, whole) != b.substr(0, whole))
        return false;
    return rest == 0 || ((static_cast<unsigned char>(a[whole]) ^ static_cast<unsigned char>(b[whole])) >> (8 - rest)) == 0;
}

class SpfWalk {
public:
    SpfWalk(const SpfRequest& request, const Ask& ask, SpfValues values) : client_(request.client), ask_(ask), values_(std::move(values)) {}

    awaitable<SpfVerdict> check_host(std::string domain);
    awaitable<std::string> explain(const SpfVerdict& fail);
    std::string take_reason() { return std::move(reason_); }

private:
    struct Names {
        dns::Answer answer;
        std::vector<std::string> validated;
    };

    awaitable<SpfVerdict> evaluate(SpfRecord record, std::string domain);
    awaitable<SpfVerdict> redirected(std::string domain_spec, std::string domain);
    awaitable<SpfMatch> matches(const SpfMechanism& mechanism, const std::string& domain);
    awaitable<SpfMatch> ask_for_match(const SpfMechanism& mechanism, const std::string& target);
    awaitable<SpfMatch> match_mx(const SpfMechanism& mechanism, const std::string& target);
    awaitable<SpfMatch> match_include(const std::string& target);
    awaitable<const Names*> look_up_names();
    awaitable<SpfValues> values_for(std::string_view text, std::string domain);
    SpfMatch any_address(const dns::Answer& answer, const SpfMechanism& mechanism) const;
    SpfMatch question_failed(std::string_view name, const dns::Answer& answer);
    SpfMatch permanent(std::string why);
    bool counted_asking() { return ++asking_ <= most_asking_terms; }
    bool counted_void(const dns::Answer& answer);
    dns::Type address_type() const { return client_.is_v6() ? dns::Type::aaaa : dns::Type::a; }
    /// RFC 8616 4: such a term does not match anything.
    bool never_matches(std::string_view domain_spec) const { return !is_ascii(values_.local_part) && uses_macro(domain_spec, "sl"); }

    const net::IpAddress client_;
    const Ask& ask_;
    const SpfValues values_;
    int asking_ = 0, void_ = 0;
    std::optional<Names> names_;                    // of the client's address, once asked for
    std::string reason_;
};

SpfMatch SpfWalk::permanent(std::string why)
{
    reason_ = std::move(why);
    return SpfMatch::permerror;
}

SpfMatch SpfWalk::question_failed(std::string_view name, const dns::Answer& answer)
{
    reason_ = fmt::format("lookup of {} failed: {}", printable(name), printable(answer.reason.empty() ? "try again" : answer.reason));
    return SpfMatch::temperror;
}

/// Counted by terms, not by questions, in RFC 7208's word: the hosts of an MX without an address of the client's family are no mistake of
/// the domain.
bool SpfWalk::counted_void(const dns::Answer& answer)
{
    if (answer.status == dns::Status::nodata || answer.status == dns::Status::nxdomain)
        ++void_;
    return void_ <= most_void_terms;
}

awaitable<SpfVerdict> SpfWalk::check_host(std::string domain)
{
    // RFC 7208 4.3: what is no name of several labels has no record; an address literal is none.
    if (!dns::is_queryable(domain) || domain.find('.') == domain.npos || domain.front() == '[')
        co_return SpfVerdict{};
    const dns::Answer answer = co_await ask_(domain, dns::Type::txt);
    if (answer.transient()) {
        question_failed(domain, answer);
        co_return SpfVerdict{.result = SpfResult::temperror, .exp = {}, .domain = {}};
    }
    const dns::Record* found = nullptr;
    for (const dns::Record& record : answer.records) {
        if (record.type != dns::Type::txt || !is_spf_record(record.text))
            continue;
        if (found != nullptr) {
            permanent("several SPF records of " + printable(domain));
            co_return SpfVerdict{.result = SpfResult::permerror, .exp = {}, .domain = {}};
        }
        found = &record;
    }
    if (found == nullptr)
        co_return SpfVerdict{};
    auto parsed = parse_spf_record(found->text);
    if (!parsed) {
        permanent(parsed.error().what());
        co_return SpfVerdict{.result = SpfResult::permerror, .exp = {}, .domain = {}};
    }
    co_return co_await evaluate(*std::move(parsed), std::move(domain));
}

awaitable<SpfVerdict> SpfWalk::evaluate(SpfRecord record, std::string domain)
{
    for (const SpfMechanism& mechanism : record.mechanisms) {
        switch (co_await matches(mechanism, domain)) {
        case SpfMatch::no: continue;
        case SpfMatch::yes: co_return SpfVerdict{.result = result_of(mechanism.qualifier), .exp = record.exp.value_or(""), .domain = domain};
        case SpfMatch::temperror: co_return SpfVerdict{.result = SpfResult::temperror, .exp = {}, .domain = {}};
        case SpfMatch::permerror: co_return SpfVerdict{.result = SpfResult::permerror, .exp = {}, .domain = {}};
        }
    }
    if (record.redirect)                            // with "all", one has matched
        co_return co_await redirected(*std::move(record.redirect), std::move(domain));
    co_return SpfVerdict{.result = SpfResult::neutral, .exp = {}, .domain = {}};
}

awaitable<SpfVerdict> SpfWalk::redirected(std::string domain_spec, std::string domain)
{
    if (never_matches(domain_spec))
        co_return SpfVerdict{.result = SpfResult::neutral, .exp = {}, .domain = {}};
    if (!counted_asking()) {
        permanent("too many terms of SPF records ask the DNS");
        co_return SpfVerdict{.result = SpfResult::permerror, .exp = {}, .domain = {}};
    }
    const std::string target = expand_domain_spec(domain_spec, co_await values_for(domain_spec, std::move(domain)));
    SpfVerdict verdict = co_await check_host(target);
    if (verdict.result == SpfResult::none) {
        permanent("no SPF record of " + printable(target));
        verdict.result = SpfResult::permerror;
    }
    co_return verdict;
}

awaitable<SpfMatch> SpfWalk::matches(const SpfMechanism& mechanism, const std::string& domain)
{
    using enum SpfMechanism::Kind;
    const auto within = [&](bool v6, unsigned bits) {
        return client_.is_v6() == v6 && same_network(client_.octets(), {mechanism.network.data(), mechanism.network.size()}, bits) ? SpfMatch::yes
                                                                                                                                   : SpfMatch::no;
    };
    switch (mechanism.kind) {
    case all: co_return SpfMatch::yes;
    case ip4: co_return within(false, mechanism.prefix4);
    case ip6: co_return within(true, mechanism.prefix6);
    default: break;
    }
    if (!counted_asking())
        co_return permanent("too many terms of SPF records ask the DNS");
    if (never_matches(mechanism.domain_spec))
        co_return SpfMatch::no;
    std::string target = domain;
    if (!mechanism.domain_spec.empty())
        target = expand_domain_spec(mechanism.domain_spec, co_await values_for(mechanism.domain_spec, domain));
    if (mechanism.kind == include)
        co_return co_await match_include(target);
    // RFC 7208 4.8 leaves open what a name means that cannot be one: it has no address.
    if (!dns::is_queryable(target))
        co_return SpfMatch::no;
    co_return co_await ask_for_match(mechanism, target);
}

awaitable<SpfMatch> SpfWalk::ask_for_match(const SpfMechanism& mechanism, const std::string& target)
{
    using enum SpfMechanism::Kind;
    if (mechanism.kind == mx)
        co_return co_await match_mx(mechanism, target);
    if (mechanism.kind == ptr) {
        const Names& names = *co_await look_up_names();
        if (!counted_void(names.answer))
            co_return permanent("too many terms of SPF records ask for what is not there");
        co_return std::ranges::any_of(names.validated, [&](const std::string& name) { return is_within(name, target); }) ? SpfMatch::yes
                                                                                                                         : SpfMatch::no;
    }
    const dns::Answer answer = co_await ask_(target, mechanism.kind == exists ? dns::Type::a : address_type());
    if (answer.transient())
        co_return question_failed(target, answer);
    if (!counted_void(answer))
        co_return permanent("too many terms of SPF records ask for what is not there");
    if (mechanism.kind == exists)
        co_return answer.found() ? SpfMatch::yes : SpfMatch::no;
    co_return any_address(answer, mechanism);
}

SpfMatch SpfWalk::any_address(const dns::Answer& answer, const SpfMechanism& mechanism) const
{
    const unsigned bits = client_.is_v6() ? mechanism.prefix6 : mechanism.prefix4;
    const bool any = std::ranges::any_of(answer.records, [&](const dns::Record& record) {
        return record.type == address_type() && record.address.is_v6() == client_.is_v6() &&
               same_network(client_.octets(), record.address.octets(), bits);
    });
    return any ? SpfMatch::yes : SpfMatch::no;
}

awaitable<SpfMatch> SpfWalk::match_mx(const SpfMechanism& mechanism, const std::string& target)
{
    const dns::Answer answer = co_await ask_(target, dns::Type::mx);
    if (answer.transient())
        co_return question_failed(target, answer);
    if (!counted_void(answer))
        co_return permanent("too many terms of SPF records ask for what is not there");
    const auto hosts =
        std::ranges::count_if(answer.records, [](const dns::Record& record) { return record.type == dns::Type::mx && !record.host.empty(); });
    if (static_cast<std::size_t>(hosts) > most_names)
        co_return permanent("too many mail exchangers of " + printable(target));
    for (const dns::Record& record : answer.records) {
        if (record.type != dns::Type::mx || record.host.empty())
            continue;
        const dns::Answer addresses = co_await ask_(record.host, address_type());
        if (addresses.transient())
            co_return question_failed(record.host, addresses);
        if (any_address(addresses, mechanism) == SpfMatch::yes)
            co_return SpfMatch::yes;
    }
    co_return SpfMatch::no;
}

awaitable<SpfMatch> SpfWalk::match_include(const std::string& target)
{
    switch ((co_await check_host(target)).result) {
    case SpfResult::pass: co_return SpfMatch::yes;
    case SpfResult::temperror: co_return SpfMatch::temperror;
    case SpfResult::permerror: co_return SpfMatch::permerror;
    case SpfResult::none: co_return permanent("no SPF record of " + printable(target));
    default: co_return SpfMatch::no;
    }
}

/// Once for the whole check: the address is the same throughout.                                                           RFC 7208 5.5
awaitable<const SpfWalk::Names*> SpfWalk::look_up_names()
{
    if (names_)
        co_return &*names_;
    Names names;
    names.answer = co_await ask_(client_.reverse_name(), dns::Type::ptr);
    std::size_t asked = 0;
    for (const dns::Record& record : names.answer.records) {
        if (record.type != dns::Type::ptr || !dns::is_queryable(record.host))
            continue;
        if (++asked > most_names)
            break;
        const dns::Answer addresses = co_await ask_(record.host, address_type());
        if (any_address(addresses, SpfMechanism{}) == SpfMatch::yes)
            names.validated.push_back(without_dot(record.host));
    }
    co_return &names_.emplace(std::move(names));
}

awaitable<SpfValues> SpfWalk::values_for(std::string_view text, std::string domain)
{
    SpfValues values = values_;
    values.domain = std::move(domain);
    if (!uses_macro(text, "p"))
        co_return values;
    const std::vector<std::string>& names = (co_await look_up_names())->validated;
    auto name = std::ranges::find_if(names, [&](const std::string& one) { return iequals(one, values.domain); });
    if (name == names.end())
        name = std::ranges::find_if(names, [&](const std::string& one) { return is_within(one, values.domain); });
    if (name == names.end())
        name = names.begin();
    if (name != names.end())
        values.validated = *name;
    co_return values;
}

awaitable<std::string> SpfWalk::explain(const SpfVerdict& fail)
{
    if (fail.exp.empty() || never_matches(fail.exp))
        co_return std::string();
    const std::string target = expand_domain_spec(fail.exp, co_await values_for(fail.exp, fail.domain));
    if (!dns::is_queryable(target))
        co_return std::string();
    const dns::Answer answer = co_await ask_(target, dns::Type::txt);
    if (!answer.found() || answer.records.size() != 1 || !is_macro_string(answer.records.front().text, true))
        co_return std::string();
    const std::string& text = answer.records.front().text;
    co_return expand_explanation(text, co_await values_for(text, fail.domain));
}

}  // namespace

SpfRequest::SpfRequest(net::IpAddress client_address, std::string reverse_path, std::string helo_name, std::string receiving_host, WallTime time)
    : client(client_address), mail_from(std::move(reverse_path)), helo(std::move(helo_name)), receiver(std::move(receiving_host)), now(time)
{
}

awaitable<SpfFinding> check_spf(SpfRequest request, Ask ask)
{
    const bool of_helo = request.mail_from.empty();
    SpfValues values;
    const std::string sender = of_helo ? request.helo : request.mail_from;
    const std::size_t at = sender.rfind('@');
    values.local_part = at == sender.npos ? std::string() : sender.substr(0, at);
    if (values.local_part.empty())
        values.local_part = "postmaster";                                  // RFC 7208 2.4, 4.3
    values.sender_domain = domain_to_ask(at == sender.npos && !of_helo ? std::string_view() : std::string_view(sender).substr(at + 1));
    values.helo = domain_to_ask(request.helo);
    values.receiver = request.receiver;
    values.address = request.client;
    values.now = std::chrono::floor<std::chrono::seconds>(request.now);

    SpfFinding finding;
    finding.method = "spf";
    finding.properties = {of_helo ? Property{.type = "smtp", .name = "helo", .value = request.helo}
                                  : Property{.type = "smtp", .name = "mailfrom", .value = request.mail_from}};
    finding.domain = values.sender_domain;
    SpfWalk walk(request, ask, values);
    const SpfVerdict verdict = co_await walk.check_host(values.sender_domain);
    finding.result = spf_result_names[static_cast<std::size_t>(verdict.result)];
    if (verdict.result == SpfResult::temperror || verdict.result == SpfResult::permerror)
        finding.reason = walk.take_reason();
    if (verdict.result == SpfResult::fail) {
        finding.explanation = co_await walk.explain(verdict);
        finding.domain = verdict.domain;
    }
    co_return finding;
}

}  // namespace posthorn::mailauth
