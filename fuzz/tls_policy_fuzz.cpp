// Values of policy tables, TLSA records and files of trust anchors. A policy that was understood is the same when it is written out again; what was
// not says why in one line; a record that counts can be held against a chain.
#include "fuzz.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "dns/idna.hpp"
#include "send/tls_policy.hpp"
#include "tls/dane.hpp"
#include "tls/options.hpp"
#include "tls/tls.hpp"

namespace posthorn::fuzz {

using namespace posthorn::send;

namespace {

std::string written(const TlsPolicy& policy)
{
    std::string text(level_name(policy.level));
    const auto add = [&](std::string_view name, const std::optional<std::string>& value) {
        if (value)
            text += fmt::format(" {}={}", name, *value);
    };
    for (const std::string& one : policy.match)
        add("match", one);
    for (const std::string& one : policy.anchor_files)
        add("tafile", one);
    add("protocols", policy.protocols);
    add("ciphers", policy.ciphers);
    add("exclude", policy.exclude);
    add("servername", policy.server_name);
    const auto add_grouped = [&](std::string_view name, const std::string& value) { text += fmt::format(" {{{}={}}}", name, value); };
    if (policy.sts) {
        text += " policy_type=sts";
        if (!policy.sts->domain.empty())
            add_grouped("policy_domain", policy.sts->domain);
        for (const std::string& one : policy.sts->patterns)
            add_grouped("mx_host_pattern", one);
        if (!policy.sts->failure.empty())
            add_grouped("policy_failure", policy.sts->failure);
    }
    if (policy.reuse)
        text += *policy.reuse ? " connection_reuse=yes" : " connection_reuse=no";
    return text;
}

void check_policy(std::string_view input)
{
    std::vector<std::string> remarks, more;
    const auto policy = parse_tls_policy(input, remarks);
    if (!policy) {
        FUZZ_CHECK(!policy.error().what().empty() && policy.error().what().find('\n') == std::string::npos);
        return;
    }
    FUZZ_CHECK(policy->level == TlsLevel::none || remarks.empty());
    const std::string text = written(*policy);
    const auto again = parse_tls_policy(text, more);
    FUZZ_CHECK(again && more.empty() && written(*again) == text);
    FUZZ_CHECK(policy->match.empty() || authenticated(policy->level));
    FUZZ_CHECK(policy->anchor_files.empty() || policy->level == TlsLevel::verify || policy->level == TlsLevel::secure);
    FUZZ_CHECK(tls::parse_protocols(policy->protocols.value_or("")));
}

void check_keys(std::string_view input)
{
    const auto keys = policy_keys(input);
    FUZZ_CHECK(!keys.empty() && keys.front() == input);
    // As written, or in the other spelling of an IDN: each a whole name, then parents, shorter from one to the next.
    const std::string in_a_labels = dns::to_a_labels(input).value_or("");
    const std::string other = in_a_labels != input ? in_a_labels : dns::to_u_labels(input);
    std::size_t written = input.size(), spelt = other.size() + 1;
    for (std::size_t at = 1; at < keys.size(); ++at) {
        const std::string& key = keys[at];
        FUZZ_CHECK(key == other || key.starts_with('.'));
        const bool as_written = input.ends_with(key) && key.size() < written;
        FUZZ_CHECK(as_written || (other.ends_with(key) && key.size() < spelt));
        (as_written ? written : spelt) = key.size();
    }
}

void check_names(std::string_view id, std::string_view reference)
{
    const bool one = tls::reference_fits(id, reference, false), several = tls::reference_fits(id, reference, true);
    FUZZ_CHECK(!one || several);
    FUZZ_CHECK(!several || (!id.empty() && !reference.empty()));
    FUZZ_CHECK(reference.starts_with('.') || tls::name_matches(id, reference) == one);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_policy(input);
    check_keys(input);
    const auto middle = input.find(' ');
    check_names(input.substr(0, middle), middle == input.npos ? input : input.substr(middle + 1));
    if (const auto digests = tls::parse_dane_digests(input))
        for (const tls::DaneDigest& digest : *digests)
            FUZZ_CHECK(digest.matching != 0 && !digest.name.empty());
    if (const auto anchors = tls::trust_anchors(std::string(input), "fuzz"))
        FUZZ_CHECK(!anchors->empty());
    static const auto context = tls::Context::client({}).value();
    if (input.size() > 3) {
        const auto at = [&](std::size_t place) { return static_cast<std::uint8_t>(input[place] - '0'); };
        const auto usable = context->usable({{at(0), at(1), at(2), std::string(input.substr(3))}});
        FUZZ_CHECK(usable.empty() || usable.front().usage == 2 || usable.front().usage == 3);
    }
}

}  // namespace posthorn::fuzz
