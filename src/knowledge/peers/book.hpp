// peers/book.hpp: the records of all peers and sites, and what a session is told of them.
// Two of a kind   memory keeps the book that is stored (Shelf); every smtp process keeps one of the few peers it just met: it learns at
//                 once from what it saw itself, and after `fresh` takes again what the stored book says.
// Bounded         `capacity` peers, those used least recently go; sites likewise.
// Stored          at once what has changed. That a peer was seen again, and how often, changes no plan: once in seen_interval, when its record leaves
//                 the book, and when somebody wants to read it (catch_up).
// Precedence      rules over learning; the administrator's words are heard at the session. report: learned quirks are told, not obeyed.
#pragma once

#include "peers/early.hpp"
#include "peers/greylist.hpp"
#include "peers/learn.hpp"
#include "peers/manners.hpp"
#include "peers/portrait.hpp"
#include "peers/rules.hpp"
#include "peers/told.hpp"

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace posthorn::peers {

enum class Learning : std::uint8_t { no, report, yes };

inline constexpr std::chrono::hours seen_interval{1};

/// Where records come from when the book does not have them, and where they go.
class Shelf {
public:
    virtual ~Shelf() = default;
    virtual std::optional<Record> peer(const std::string& key) = 0;
    virtual std::optional<SiteRecord> site(const std::string& key) = 0;
    /// By address.
    virtual std::optional<EarlyRecord> early(const std::string&) { return std::nullopt; }
    /// By MX set, or by address.
    virtual std::optional<Manners> manners(const std::string&) { return std::nullopt; }
    virtual void keep(const std::string&, const Manners&) {}
    virtual void keep(const std::string&, const Record&) {}
    virtual void keep(const std::string&, const EarlyRecord&) {}
    virtual void keep(const std::string&, const SiteRecord&) {}
    virtual void drop_peer(const std::string&) {}
    virtual void drop_manners(const std::string&) {}
    /// By portrait_key() (gallery.hpp).
    virtual std::optional<Portrait> portrait(const std::string&) { return std::nullopt; }
    virtual void keep(const std::string&, const Portrait&) {}
    virtual void drop_portrait(const std::string&) {}
    /// When an operator had a peer (its key), a way (an address) or, by the empty name, everything forgotten: siblings are not to bring it back.
    virtual std::optional<WallTime> forgotten(const std::string&) { return std::nullopt; }
    virtual void keep_forgotten(const std::string&, WallTime) {}
};

/// "192.0.2.2 va3ehsmhs018.bigfish.com": of a peer; never longer than 300 octets.
std::string key_of(const PeerKey& peer);

class Book final : public Peers {
public:
    struct Options {
        Learning learning = Learning::yes;
        std::size_t capacity = 100'000;
        /// How long a record of the book is believed before the shelf is asked again; zero: for ever.
        std::chrono::seconds fresh{0};
    };
    Book(const Clock& clock, Options options, std::shared_ptr<const Rules> rules = nullptr, Shelf* shelf = nullptr);

    bool obeys() const override { return options_.learning == Learning::yes; }
    Known about(const Meeting& meeting) override;
    Early early(const std::string& address) override;
    bool small_segments(const std::string& address) override;
    bool saw(Evidence evidence) override;
    void connected(const std::string& site, bool well) override;
    bool may_replay(const std::string& site) override;
    Advice advice(std::string_view reply, std::string_view site) override;
    std::optional<WallTime> put_off(const std::string& host, std::string_view sender, std::string_view recipient, std::string_view reply,
                                    const Advice& advice) override;
    bool taken(const std::string& host, std::string_view sender, std::string_view recipient) override;
    std::string counted_at(std::string_view sender, std::string_view recipient) override;
    std::uint32_t sessions_at_once(const std::string& set) override;
    void refused_beside(const std::string& set, std::uint32_t standing) override;
    Profile profile(std::string_view host, std::string_view domain) override { return rules_ ? rules_->profile_for(host, domain) : Profile{}; }

    /// Learns; of memory, which gets observations in frames. The answer: what would be planned otherwise.
    Quirks take(const Observation& observation);

    /// The shelf has all that the book has after it.
    void catch_up();
    /// What an operator says: nothing is known of this peer any more, nor did its site learn from it. False: nothing was.
    bool forget(const std::string& key);
    /// The way to this address is tried anew, with whatever segments it takes. False: nothing was known of it.
    bool forget_way(const std::string& address);
    /// The same of an MX set, or of a host that greylists.
    bool forget_manners(const std::string& name);
    /// It takes the place of what was known.
    void put(const Record& record);
    /// What was borrowed of these (all: of everybody) is fetched again when it is asked for; of memory's own book nothing is lost.
    void let_go(const std::vector<std::string>& keys, bool all);
    /// The same of MX sets, and of hosts that greylist.
    void let_go_of_sets(const std::vector<std::string>& sets, bool all);

    /// What another process learned of a set or an address; later news outvotes earlier.
    void put(const std::string& name, const Manners& manners);

    /// What a sibling tells (told.hpp). False: it was no news, or older than what is known here.
    bool hear(const Word& word, const std::string& by);
    bool hear(const WayWord& word, const std::string& by);
    /// What is told to siblings; none: nothing.
    std::optional<Word> word(const std::string& key);
    std::optional<WayWord> way_word(const std::string& address);
    /// Nothing that siblings tell of what was before now is heard any more.
    void forgot_all() { forgotten({}); }

    /// Told which peer, by its key, or which address there is more to tell of.
    std::function<void(const std::string& key)> on_word;
    std::function<void(const std::string& address)> on_way_word;
    /// Told of what put() of memory's book is to hear.
    std::function<void(const std::string& name, const Manners&)> on_manners;
    /// Told of every observation of saw(), and of every event.
    std::function<void(const Observation&)> on_observation;
    std::function<void(const Event&)> on_event;

    std::optional<Record> record(const PeerKey& peer) { return record(key_of(peer)); }
    std::optional<Record> record(const std::string& key);
    std::size_t peers() const { return peers_.all.size(); }
    /// Of those held here.
    std::vector<std::string> keys() const { return {peers_.order.begin(), peers_.order.end()}; }
    std::vector<std::string> addresses() const { return {addresses_.order.begin(), addresses_.order.end()}; }
    const Options& options() const { return options_; }

private:
    template <class Value>
    struct Held {
        Value value;
        SteadyTime taken{};
        std::list<std::string>::iterator place;
        WallTime stored{};  // its `last` on the shelf; never: it is not there
        bool lags = false;  // the shelf has less
    };
    template <class Value>
    struct Kept {
        std::unordered_map<std::string, Held<Value>> all;
        std::list<std::string> order;  // the one used last comes first
    };
    struct Line {  // of a site, never stored: a site belongs to one process
        SteadyTime replayed{}, failed{};
    };

    template <class Value>
    Held<Value>& hold(Kept<Value>& kept, const std::string& key, const std::function<std::optional<Value>()>& fetch);
    Held<Record>& peer(const std::string& key);
    Held<SiteRecord>& site(const std::string& key);
    Held<EarlyRecord>& address(const std::string& key);
    void take_early(const Observation& observation);
    void forgotten(const std::string& name);
    WallTime forgotten_at(const std::string& name) const;
    std::optional<WallTime> forgotten_itself(const std::string& name) const;
    void spread(const PeerKey& peer, const std::vector<Event>& events);
    template <class Value>
    void keep(const std::string& key, Held<Value>& held);
    template <class Value>
    void keep_news(const std::string& key, Held<Value>& held, const Value& before);
    Manners& manners(const std::string& name);
    void changed(const std::string& name, Manners& manners);
    void remember_greylisting(const std::string& host);

    const Clock& clock_;
    Options options_;
    std::shared_ptr<const Rules> rules_;
    Shelf* shelf_;
    Kept<Record> peers_;
    Kept<SiteRecord> sites_;
    Kept<EarlyRecord> addresses_;
    Kept<Manners> manners_;
    std::unordered_map<std::string, Line> lines_;
    Greylists greylists_;
    std::unordered_map<std::string, WallTime> forgotten_;  // by an operator, as Shelf has it, where there is no shelf
    std::unordered_map<std::string, SteadyTime> canaries_;  // handed out, no answer yet: one at a time
};

}  // namespace posthorn::peers
