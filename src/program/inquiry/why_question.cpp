#include "inquiry/why_question.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/memory_client.hpp"
#include "inquiry/peer_listing.hpp"
#include "inquiry/queue_client.hpp"
#include "inquiry/transcripts.hpp"
#include "peers/params.hpp"
#include "peers/store.hpp"
#include "send/params.hpp"
#include "tables/maps.hpp"
#include "verify/cache.hpp"
#include "verify/options.hpp"
#include "verify/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace posthorn::inquiry {

namespace {

using handoff::Transcript;
using handoff::TranscriptLine;

constexpr int messages_shown = 3;

const Clock& the_clock()
{
    static const SystemClock clock;
    return clock;
}

observe::Log silent() { return observe::Log(std::make_shared<observe::MemorySink>(), "why"); }

Why::Kind kind_of(std::string_view word)
{
    if (word.find('@') != word.npos)
        return Why::Kind::address;
    return word.find_first_of(".[]:") != word.npos ? Why::Kind::destination : Why::Kind::message;
}

class Question {
public:
    Question(config::Snapshot snapshot, std::string word, Until until) : snapshot_(std::move(snapshot)), until_(until), memory_(snapshot_, until)
    {
        why_.kind = kind_of(word);
        why_.word = std::move(word);
    }

    Why ask()
    {
        ask_queue();
        // A name without a dot may be a domain of this network.
        if (!down_ && why_.kind == Why::Kind::message && !why_.queue)
            if (read_transcripts_of(why_.word), !why_.last && why_.word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == why_.word.npos) {
                why_.kind = Why::Kind::destination;
                ask_queue();
            }
        if (why_.kind == Why::Kind::address)
            ask_verification();
        if (why_.kind != Why::Kind::message && !down_)
            ask_policy();
        read_transcripts_of(why_.word);
        read_peers();
        return std::move(why_);
    }
    bool down() const { return down_; }

private:
    void ask_queue()
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::EXPLAIN);
        if (why_.kind == Why::Kind::message)
            command.add_queue_ids(why_.word);
        else
            command.set_argument(why_.word);
        QueueClient queue(snapshot_, until_);
        auto reply = queue.ask(std::move(command));
        if (reply) {
            if (reply->has_explanation())
                why_.queue = std::move(*reply->mutable_explanation());
            if (why_.kind != Why::Kind::message && why_.queue)
                ask_messages(*why_.queue);
            return;
        }
        down_ = !queue.reachable();
        why_.notes.push_back(down_ ? "the mail system is down: the queue is not asked" : "the queue: " + reply.error().text());
    }

    void ask_messages(const handoff::Explanation& queue)
    {
        for (int at = 0; at < std::min(queue.queue_ids_size(), messages_shown); ++at) {
            handoff::QueueCommand command;
            command.set_verb(handoff::QueueCommand::EXPLAIN);
            command.add_queue_ids(queue.queue_ids(at));
            auto reply = QueueClient(snapshot_, until_).ask(std::move(command));
            if (!reply || !reply->has_explanation())
                continue;                                           // it left meanwhile
            handoff::Explanation& message = *reply->mutable_explanation();
            std::vector<handoff::Waiting> kept;
            for (handoff::Waiting& one : *message.mutable_waiting()) {
                const std::string& address = one.recipient().address();
                if (why_.kind == Why::Kind::address ? iequals(address, why_.word) : iends_with(address, "@" + why_.word))
                    kept.push_back(std::move(one));
            }
            message.mutable_waiting()->Assign(kept.begin(), kept.end());
            why_.messages.push_back(std::move(message));
        }
    }

    /// Of the domain: what is behind the @, a site without its transport and port.
    void ask_policy()
    {
        std::string_view domain = std::string_view(why_.word).substr(why_.word.find('@') + 1);
        if (domain.find('[') != domain.npos)
            return;
        if (const auto colon = domain.find(':'); colon != domain.npos)
            domain = domain.find('.') < colon ? domain.substr(0, colon) : domain.substr(colon + 1);
        if (auto known = memory_.policy(to_lower(dns::to_a_labels(domain.substr(0, domain.find(':'))).value_or(""))))
            why_.sts = *std::move(known);
        else
            why_.notes.push_back("MTA-STS: " + known.error().text());
    }

    void ask_verification()
    {
        if (auto known = memory_.known(why_.word)) {
            why_.verification = *std::move(known);
            return;
        } else if (!down_)
            why_.notes.push_back("verification: " + known.error().text());
        // The cache says what was known when the mail system stopped.
        verify::CacheReader cache(snapshot_.get(verify::address_verify_map), the_clock(), silent());
        const auto record = cache.find(why_.word);
        if (!record)
            return;
        const verify::Worth worth = verify::worth(*record, verify::Options::from(snapshot_, "").rules);
        handoff::VerifyKnowledge known;
        known.set_known(true);
        known.set_kind(static_cast<std::uint32_t>(record->kind));
        known.set_text(record->text);
        known.set_updated(record->updated.time_since_epoch().count());
        known.set_refresh(worth.refresh.time_since_epoch().count());
        known.set_expires(worth.expires.time_since_epoch().count());
        why_.verification = std::move(known);
    }

    /// Read once.
    const std::vector<Transcript>& transcripts()
    {
        if (transcripts_)
            return *transcripts_;
        auto all = read_transcripts(snapshot_);
        if (!all)
            why_.notes.push_back("transcripts: " + all.error().text());
        return transcripts_.emplace(std::move(all).value_or(std::vector<Transcript>{}));
    }

    void read_transcripts_of(const std::string& word)
    {
        for (const Transcript& one : transcripts()) {
            const bool of_site = why_.queue && std::ranges::any_of(why_.queue->sites(), [&](const auto& site) { return site.site() == one.site(); });
            if (concerns(one, word) || (why_.kind == Why::Kind::destination && of_site))
                why_.last = one;
        }
    }

    void read_peers()
    {
        if (!down_)
            (void)memory_.store();
        auto all = posthorn::peers::StoredShelf(fmt::format("{}/{}", snapshot_.text("data_directory"), posthorn::peers::store_name)).all();
        if (!all) {
            why_.notes.push_back("what is known of servers: " + all.error().text());
            return;
        }
        for (posthorn::peers::Record& record : all->peers) {
            const bool of_site = why_.queue && std::ranges::any_of(why_.queue->sites(), [&](const auto& site) {
                                     return !site.site().empty() && site.site() == record.peer.site;
                                 });
            const bool of_last =
                why_.last && why_.last->relay().find("[" + record.peer.address + "]") != std::string::npos && why_.last->site() == record.peer.site;
            if (of_site || of_last || (why_.kind == Why::Kind::destination && matches(record, why_.word)))
                why_.peers.push_back({.record = std::move(record)});
        }
        std::ranges::sort(why_.peers, std::greater<>(), [](const PeerSaid& peer) { return peer.record.last; });
        for (PeerSaid& peer : why_.peers) {
            peer.administrator = administrator(peer.record);
            peer.rule_file = rule_file(peer.record);
            if (const posthorn::peers::Portrait* portrait = portrait_of(all->portraits, peer.record.peer))
                peer.portrait = *portrait;
        }
        take_sites(all->portraits);
    }

    /// Those whose MX set has changed lately, of the sites that this is about.
    void take_sites(const std::vector<posthorn::peers::Portrait>& portraits)
    {
        for (const posthorn::peers::Portrait& one : portraits) {
            const bool asked =
                (why_.kind == Why::Kind::destination && matches(one, why_.word)) ||
                (why_.queue && std::ranges::any_of(why_.queue->sites(), [&](const auto& site) { return site.site() == one.peer.site; }));
            if (one.peer.address.empty() && asked && !changes_since(std::span(&one, 1), the_clock().wall() - changed_lately).empty())
                why_.sites.push_back(one);
        }
    }

    /// What is written for this server by its address, or for all.
    std::string administrator(const posthorn::peers::Record& record)
    {
        const std::string maps = snapshot_.get(send::smtp_discard_ehlo_keyword_address_maps), all = snapshot_.get(send::smtp_discard_ehlo_keywords);
        if (!maps.empty() && !record.peer.address.starts_with('/')) {
            tables::Tables tables(silent(), the_clock());
            const tables::Maps asked("smtp_discard_ehlo_keyword_address_maps", maps, {}, tables);
            asio::io_context loop{1};
            const auto found = posthorn::run(loop, asked.lookup(record.peer.address),
                                             std::chrono::ceil<std::chrono::seconds>(time_for(until_, std::chrono::seconds{30})));
            if (!found)
                return fmt::format("smtp_discard_ehlo_keyword_address_maps cannot be asked: {}", found.error().text());
            if (const std::optional<std::string>& keywords = *found)
                return fmt::format("smtp_discard_ehlo_keyword_address_maps: {} {}", record.peer.address, *keywords);
        }
        return all.empty() ? std::string() : fmt::format("smtp_discard_ehlo_keywords = {}", all);
    }

    /// Read once; null where they cannot be read.
    const std::shared_ptr<const posthorn::peers::Rules>& rules()
    {
        if (rules_)
            return *rules_;
        std::vector<std::string> troubles;
        auto loaded = posthorn::peers::load_rules(snapshot_.get(posthorn::peers::smtp_peer_rules), troubles);
        why_.notes.insert(why_.notes.end(), troubles.begin(), troubles.end());
        return rules_.emplace(std::move(loaded));
    }

    /// What the rules say of its greeting and EHLO reply, as the last transcript of it has them.
    std::string rule_file(const posthorn::peers::Record& record)
    {
        if (!rules())
            return {};
        const Transcript* last = nullptr;
        for (const Transcript& one : transcripts())
            if (one.relay().find("[" + record.peer.address + "]") != std::string::npos && one.site() == record.peer.site)
                last = &one;
        if (!last)
            return {};
        posthorn::peers::Meeting meeting{.peer = record.peer, .greeting = {}, .ehlo = {}};
        std::string* into = &meeting.greeting;
        for (const TranscriptLine& line : last->lines()) {
            if (line.who() == TranscriptLine::CLIENT) {
                if (!istarts_with(line.text(), "EHLO ") && !istarts_with(line.text(), "LHLO "))
                    break;
                into = &meeting.ehlo;
            } else if (line.who() == TranscriptLine::SERVER)
                *into += (into->empty() ? "" : "\n") + line.text();
        }
        const posthorn::peers::RuleWords words = rules()->words_for(meeting);
        std::string said = words.quirks.text();
        if (!words.not_quirks.empty())
            said += (said.empty() ? "not " : ", not ") + words.not_quirks.text();
        for (const auto& [name, number] : {std::pair{"recipients-per-mail", words.limits.recipients_per_mail},
                                           {"mails-per-session", words.limits.mails_per_session},
                                           {"errors-per-session", words.limits.errors_per_session},
                                           {"sessions", words.limits.sessions}})
            if (number != 0)
                said += fmt::format("{}{}={}", said.empty() ? "" : ", ", name, number);
        return said;
    }

    config::Snapshot snapshot_;
    Until until_;
    MemoryClient memory_;
    Why why_;
    bool down_ = false;
    std::optional<std::vector<Transcript>> transcripts_;
    std::optional<std::shared_ptr<const posthorn::peers::Rules>> rules_;
};

}  // namespace

WhyAsked ask_why(config::Snapshot snapshot, std::string word, Until until)
{
    Question question(std::move(snapshot), std::move(word), until);
    Why why = question.ask();
    return {std::move(why), question.down()};
}

}  // namespace posthorn::inquiry
