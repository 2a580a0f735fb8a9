#include "receive/checks.hpp"

#include "async/at_once.hpp"
#include "base/strings.hpp"
#include "message/header.hpp"
#include "receive/content.hpp"
#include "tls/digest.hpp"

#include <algorithm>

namespace posthorn::receive {

struct Checks::Question {
    explicit Question(const Executor& executor) : answered(executor) {}
    Signal answered;
    std::optional<dns::Answer> answer;
};

Checks::Checks(const mailauth::CheckOptions& options, Facts facts, Names& names, const Clock& clock, Ceiling& ceiling, TaskGroup& asking,
               const mailauth::PublicSuffixes* suffixes)
    : options_(options), facts_(std::move(facts)), names_(names), clock_(clock), asking_(asking), share_(ceiling),
      suffixes_(options.dmarc ? suffixes : nullptr), all_answered_(asking.executor())
{
}

void Checks::add(std::string_view octets)
{
    if (settled_) {
        if (verifier_)
            verifier_->add(octets);
        if (validator_)
            validator_->add(octets);
        return;
    }
    if (!share_.set(head_.size() + octets.size())) {
        trouble_ = "no memory to verify it";
        std::string().swap(head_);
        settle_head(false);
        return;
    }
    head_ += octets;
    const bool ends = head_.starts_with("\r\n") || head_.find("\r\n\r\n", searched_) != head_.npos;
    searched_ = head_.size() < 3 ? 0 : head_.size() - 3;
    if (ends || head_.size() >= Content::head_limit)
        settle_head(false);
}

/// The head is as whole as it gets: what follows is body, and the DNS is asked.
void Checks::settle_head(bool last)
{
    settled_ = true;
    deadline_ = clock_.steady() + options_.timeout;
    const message::HeaderWalk walk = message::walk_to_end(head_);
    const bool too_long = trouble_.empty() && !last && walk.end() == message::HeaderEnd::content_end;
    if (too_long)
        trouble_ = "header is too long";
    const std::string header = head_.substr(0, walk.header_size());
    const auto now = std::chrono::floor<std::chrono::seconds>(clock_.wall());
    if (options_.dkim && trouble_.empty())
        verifier_ = std::make_unique<mailauth::DkimVerifier>(header, mailauth::DkimVerifier::Options{options_.dkim_limit}, now);
    if (options_.arc && trouble_.empty())
        validator_ = std::make_unique<mailauth::ArcValidator>(header, now);
    if (!share_.set((verifier_ ? verifier_->held() : 0) + (validator_ ? validator_->held() : 0))) {
        verifier_.reset();
        validator_.reset();
        trouble_ = "no memory to verify it";
    }
    const std::string_view body = std::string_view(head_).substr(walk.body_offset());
    if (verifier_)
        verifier_->add(body);
    if (validator_)
        validator_->add(body);
    // What we had no room for asks for nobody's policy; whose header is too long is no way around one.
    if (suffixes_ != nullptr && (trouble_.empty() || too_long))
        authors_ = mailauth::authors_of(header);
    else
        authors_.problem = trouble_;
    std::string().swap(head_);
    asking_.spawn(ask_all(shared_from_this()));
}

awaitable<void> Checks::ask_all(std::shared_ptr<Checks> self)
{
    const std::size_t all = 3 + self->authors_.domains.size();
    co_await at_once(all, all, [&self](std::size_t i) { return self->check(i); });
    self->answered_ = true;
    self->all_answered_.notify_all();
}

awaitable<void> Checks::check(std::size_t which)
{
    const mailauth::Ask asks = [this](std::string name, dns::Type type) { return ask(std::move(name), type); };
    if (which >= 3) {
        // What it finds now is not the truth yet; what it asks is asked.
        mailauth::Authors one;
        one.domains.push_back(authors_.domains[which - 3]);
        (void)co_await mailauth::check_dmarc(mailauth::DmarcRequest(std::move(one), {}, 0), *suffixes_, asks);
    } else if (which == 0 && verifier_)
        co_await verifier_->ask_for_keys(asks);
    else if (which == 1 && options_.spf) {
        if (facts_.spf)
            spf_ = *facts_.spf;
        else
            spf_ = co_await mailauth::check_spf(mailauth::SpfRequest(facts_.client, facts_.mail_from, facts_.helo, facts_.myhostname, clock_.wall()),
                                                asks);
    } else if (which == 2 && validator_)
        co_await validator_->ask_for_keys(asks);
}

bool Checks::is_trusted(std::string_view sealer) const
{
    return std::ranges::any_of(options_.trusted_sealers, [sealer](const std::string& one) {
        return iequals(sealer, one) || (one.starts_with('.') && iends_with(sealer, one));
    });
}

/// Each question goes on by itself, however long it takes; who asks waits until the time is up.
awaitable<dns::Answer> Checks::ask(std::string name, dns::Type type)
{
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.steady());
    const auto [known, is_new] = questions_.try_emplace({name, type});
    if (is_new) {
        known->second = std::make_shared<Question>(asking_.executor());
        if (left.count() > 0)
            asking_.spawn(ask_names(shared_from_this(), known->second, std::move(name), type));
    }
    const std::shared_ptr<Question> question = known->second;
    if (!question->answer && left.count() > 0)
        (void)co_await question->answered.wait_for(left);
    if (auto answer = question->answer)
        co_return *std::move(answer);
    dns::Answer none;
    none.reason = "no answer in time";
    co_return none;
}

awaitable<void> Checks::ask_names(std::shared_ptr<Checks> self, std::shared_ptr<Question> question, std::string name, dns::Type type)
{
    question->answer = co_await self->names_.records(std::move(name), type);
    question->answered.notify_all();
}

namespace {

std::string_view value_of(const mailauth::Finding& finding, std::string_view type, std::string_view name)
{
    const auto at = std::ranges::find_if(finding.properties, [&](const mailauth::Property& one) { return one.type == type && one.name == name; });
    return at == finding.properties.end() ? std::string_view() : std::string_view(at->value);
}

std::string domain_part(std::string_view address)
{
    const std::size_t at = address.rfind('@');
    return to_lower(at == address.npos ? address : address.substr(at + 1));
}

/// RFC 7489 appendix C. Of signatures the first ten, and as many octets of a name as a domain may have.
handoff::DmarcSeen report_of(const mailauth::DmarcPublished& published, const std::vector<mailauth::Finding>& found, const Checks::Facts& facts)
{
    constexpr int most_signatures = 10;
    constexpr std::size_t longest = 255;
    const auto cut = [](std::string_view text) { return std::string(text.substr(0, longest)); };
    handoff::DmarcSeen seen;
    seen.set_domain(published.domain);
    seen.set_record(published.record);
    handoff::DmarcRow& row = *seen.mutable_row();
    row.set_source(facts.client.text());
    row.set_header_from(published.author);
    row.set_envelope_from(cut(facts.mail_from.empty() ? "" : domain_part(facts.mail_from)));
    row.set_dkim(published.dkim);
    row.set_spf(published.spf);
    for (const mailauth::Finding& one : found) {
        if (one.method == "dkim" && !value_of(one, "header", "d").empty() && row.signatures_size() < most_signatures) {
            handoff::DmarcRow::Dkim& signature = *row.add_signatures();
            signature.set_domain(cut(to_lower(value_of(one, "header", "d"))));
            signature.set_selector(cut(value_of(one, "header", "s")));
            signature.set_result(one.result);
        } else if (one.method == "spf") {
            const std::string_view mail_from = value_of(one, "smtp", "mailfrom");
            row.set_spf_domain(cut(domain_part(mail_from.empty() ? value_of(one, "smtp", "helo") : mail_from)));
            row.set_spf_scope(mail_from.empty() ? "helo" : "mfrom");
            row.set_spf_result(one.result);
        }
    }
    return seen;
}

}  // namespace

awaitable<Checks::Verdict> Checks::conclude(Helpers& threads)
{
    if (!settled_)
        settle_head(true);
    while (!answered_ && !co_await cancelled())
        co_await all_answered_.wait();
    Verdict verdict;
    std::vector<mailauth::Finding>& found = verdict.findings;
    if (verifier_)
        found = co_await verifier_->findings(threads);
    if (options_.dkim && found.empty())
        found.push_back(trouble_.empty() ? mailauth::Finding{"dkim", "none", "", {}} : mailauth::Finding{"dkim", "permerror", trouble_, {}});
    if (options_.spf)
        found.push_back(spf_ ? *spf_ : mailauth::Finding{"spf", "temperror", "not asked for", {}});
    mailauth::ArcFinding arc;
    if (options_.arc) {
        if (validator_) {
            arc = co_await validator_->finding(threads);
            verdict.chain = arc.result;
            verdict.chain_digest = arc.digest;
        } else
            static_cast<mailauth::Finding&>(arc) = {"arc", "fail", trouble_, {}};
        found.push_back(arc);
    }
    if (suffixes_ != nullptr) {
        const unsigned random = static_cast<unsigned char>(tls::random_octets(1).front()) * 100U / 256U;
        auto dmarc = co_await mailauth::check_dmarc(mailauth::DmarcRequest(authors_, found, random), *suffixes_,
                                                    [this](std::string name, dns::Type type) { return ask(std::move(name), type); });
        verdict.asked = dmarc.asked;
        for (const mailauth::Property& property : dmarc.properties)
            if (property.name == "from")
                verdict.author = property.value;
        // A sealer speaks for one author: of several the others would go along unseen.
        const auto trusted = [this](const std::string& sealer) { return is_trusted(sealer); };
        if (dmarc.published && dmarc.published->record.find("rua") != std::string::npos) {
            verdict.report = report_of(*dmarc.published, found, facts_);
            if (dmarc.published->sampled_out)
                verdict.report->mutable_row()->set_reason("sampled_out");
        }
        const bool may_be_sealed = dmarc.result == "fail" && authors_.domains.size() == 1;
        if (const std::string sealer = may_be_sealed ? mailauth::trusted_sealer(arc, verdict.author, trusted) : ""; !sealer.empty()) {
            verdict.asked = mailauth::DmarcPolicy::none;
            dmarc.reason = "it passed where " + sealer + " sealed it";
            if (verdict.report) {
                verdict.report->mutable_row()->set_reason("trusted_forwarder");
                verdict.report->mutable_row()->set_comment("arc=pass, sealed by " + sealer);
            }
        }
        found.push_back(std::move(dmarc));
    }
    co_return verdict;
}

}  // namespace posthorn::receive
