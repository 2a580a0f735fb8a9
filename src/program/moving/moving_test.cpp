// The dialogue between two queues that a test makes.
#include "moving/giving.hpp"
#include "moving/selection.hpp"
#include "moving/taking.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/socket.h>

#include <map>
#include <set>
#include <thread>

using namespace posthorn;
using namespace posthorn::moving;
using handoff::HandOver;
using handoff::HandOverReply;
using handoff::MovingMessage;
using handoff::TakenMessage;
using handoff::TakeOver;
using handoff::TakeOverReply;

namespace {

class Leaving final : public LeavingQueue {
public:
    Result<HandOverReply> ask(HandOver asked) override
    {
        HandOverReply reply;
        reply.set_source("source");
        if (asked.step() == HandOver::BEGIN)
            for (const std::string& id : in_doubt)
                reply.add_in_doubt(id);
        for (const std::string& id : asked.queue_ids()) {
            if (asked.step() == HandOver::OFFER && !unreadable.contains(id) && contents.contains(id))
                *reply.add_messages() = message(id);
            else if (asked.step() == HandOver::OFFER && contents.contains(id)) {
                reply.add_unreadable()->set_queue_id(id);
                reply.mutable_unreadable(0)->set_text("message content is damaged");
            } else if (asked.step() == HandOver::DONE) {
                reply.set_count(reply.count() + contents.erase(id));
            } else if (asked.step() == HandOver::BACK) {
                kept.insert(id);
            }
        }
        ended = asked.step() == HandOver::END;
        return reply;
    }
    Result<std::string> content(const std::string& id, std::uint64_t offset) override
    {
        if (offset >= breaks_at)
            return Error{"content file: Input/output error", "4.3.0"};
        return contents.at(id).substr(offset, piece);
    }
    MovingMessage message(const std::string& id) const
    {
        MovingMessage made;
        made.set_queue_id(id);
        made.mutable_envelope()->set_size(contents.at(id).size());
        made.mutable_envelope()->add_recipients()->set_address("a@there.test");
        made.add_states()->set_tries(2);
        if (contents.at(id).size() <= inline_most)
            made.mutable_content()->set_inline_octets(contents.at(id));
        return made;
    }

    std::map<std::string, std::string> contents;
    std::set<std::string> unreadable, kept;
    std::vector<std::string> in_doubt;
    std::size_t inline_most = 100, piece = 1000;
    std::uint64_t breaks_at = UINT64_MAX;
    bool ended = false;
};

struct Arrived {
    MovingMessage message;
    std::string content;
};

class Coming final : public ComingQueue {
public:
    class File final : public ContentFile {
    public:
        explicit File(std::string& octets, std::multiset<std::string>& gone, std::string id) : octets_(octets), gone_(gone), id_(std::move(id)) {}
        ~File() override
        {
            if (!kept_)
                gone_.insert(id_);
        }
        Result<void> append(std::string_view octets) override
        {
            octets_ += octets;
            return {};
        }
        Result<void> sync() override
        {
            octets_ += "|synced";
            return {};
        }
        void keep() override { kept_ = true; }

    private:
        std::string& octets_;
        std::multiset<std::string>& gone_;
        std::string id_;
        bool kept_ = false;
    };

    Result<TakeOverReply> ask(TakeOver asked) override
    {
        TakeOverReply reply;
        switch (asked.step()) {
        case TakeOver::BEGIN: reply.set_target("target"); break;
        case TakeOver::IDS:
            for (std::uint32_t at = 0; at < 3; ++at)               // fewer than were asked for
                reply.add_queue_ids("new" + std::to_string(++numbers));
            break;
        case TakeOver::TAKE:
            if (broken)
                return Error{"lost connection with qmgr", "4.3.0"};
            for (const MovingMessage& message : asked.messages()) {
                TakenMessage& taken = *reply.add_taken();
                taken.set_queue_id(message.queue_id());
                if (const auto why = refuses.find(message.queue_id()); why != refuses.end()) {
                    taken.set_status(why->second);
                    taken.set_text("not this one");
                    continue;
                }
                taken.set_here(message.envelope().queue_id());
                const bool in_file = !message.content().file().empty();
                here[message.queue_id()] = {message, in_file ? files.at(message.content().file()) : message.content().inline_octets()};
            }
            break;
        case TakeOver::KNOWN:
            for (const std::string& id : asked.queue_ids())
                if (here.contains(id)) {
                    TakenMessage& taken = *reply.add_taken();
                    taken.set_queue_id(id);
                    taken.set_here("before");
                }
            break;
        case TakeOver::FORGET: forgotten.insert(asked.queue_ids().begin(), asked.queue_ids().end()); break;
        default: FAIL("a step of another version");
        }
        return reply;
    }
    Result<std::unique_ptr<ContentFile>> file(const std::string& id) override { return std::unique_ptr<ContentFile>(new File(files[id], gone, id)); }

    std::map<std::string, Arrived> here;
    std::map<std::string, std::string> files, refuses;
    std::multiset<std::string> gone, forgotten;
    int numbers = 0;
    bool broken = false;
};

struct Pair {
    Pair()
    {
        ::signal(SIGPIPE, SIG_IGN);                    // as the commands do
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    }
    ~Pair()
    {
        close(0);
        close(1);
    }
    void close(int end)
    {
        if (ends[end] >= 0)
            ::close(std::exchange(ends[end], -1));
    }
    int ends[2]{-1, -1};
};

struct Dialogue {
    Leaving leaving;
    Coming coming;
    Given given;
    std::string taking_said;

    /// What broke it off; empty: nothing.
    std::string run(std::vector<std::string> ids)
    {
        Pair pair;
        std::jthread other([&] {
            Stream stream(pair.ends[1], pair.ends[1], "the source");
            Taking taking(coming, stream, "2", "new.test");
            if (const auto done = taking.run(); !done)
                taking_said = done.error().text();
            ::shutdown(pair.ends[1], SHUT_RDWR);
        });
        Stream stream(pair.ends[0], pair.ends[0], "the target");
        Giving giving(leaving, stream, "1", "old.test", {.batch = 2, .pause = std::chrono::milliseconds{1}, .patience = std::chrono::seconds{0}});
        auto done = giving.begin();
        if (done)
            done = giving.move(std::move(ids), [] { return false; });
        if (done)
            done = giving.end();
        ::shutdown(pair.ends[0], SHUT_RDWR);
        other.join();
        given = giving.given();
        return done ? "" : done.error().text();
    }
};

/// What the taking side makes of these words; the greeting and what it knows are passed over.
std::string told(std::vector<Said> words, Coming& coming)
{
    Pair pair;
    Stream ours(pair.ends[0], pair.ends[0], "it");
    Said opening;
    opening.mutable_introduction()->set_format(format);
    opening.mutable_introduction()->set_identity("source");
    words.insert(words.begin(), opening);
    std::jthread other([&] {
        for (const Said& word : words)
            if (!ours.say(word))
                break;                                 // it heard enough
        ::shutdown(pair.ends[0], SHUT_WR);
    });
    Stream theirs(pair.ends[1], pair.ends[1], "the source");
    const auto done = Taking(coming, theirs, "2", "new.test").run();
    ::shutdown(pair.ends[1], SHUT_RDWR);
    return done ? "" : done.error().text();
}

Said message(std::uint64_t size)
{
    Said said;
    said.mutable_message()->set_queue_id("a");
    said.mutable_message()->mutable_envelope()->set_size(size);
    return said;
}
Said piece(std::string octets)
{
    Said said;
    said.set_piece(std::move(octets));
    return said;
}
Said batch_end()
{
    Said said;
    said.set_batch_end(true);
    return said;
}

}  // namespace

TEST_CASE_FIXTURE(Dialogue, "moving: small and large ones arrive as they were, and are forgotten when they have left")
{
    leaving.contents = {{"a", "small"}, {"b", std::string(2500, 'x')}, {"c", ""}, {"d", std::string(100, 'y')}, {"e", std::string(101, 'z')}};
    CHECK(run({"a", "b", "gone", "c", "d", "e"}) == "");
    CHECK(leaving.contents.empty());
    CHECK(leaving.ended);
    CHECK(given.moved == 5);
    REQUIRE(coming.here.size() == 5);
    CHECK(coming.here.at("a").content == "small");
    CHECK(coming.here.at("a").message.states(0).tries() == 2);
    CHECK(coming.here.at("b").content == std::string(2500, 'x') + "|synced");
    CHECK(coming.here.at("b").message.content().file() == coming.here.at("b").message.envelope().queue_id());
    CHECK(coming.here.at("c").content.empty());
    CHECK(coming.here.at("e").content == std::string(101, 'z') + "|synced");
    std::set<std::string> ids;
    for (const auto& [there, arrived] : coming.here)
        ids.insert(arrived.message.envelope().queue_id());
    CHECK(ids.size() == 5);
    CHECK(coming.gone.empty());
    CHECK(coming.forgotten == std::multiset<std::string>{"a", "b", "c", "d", "e"});
}

TEST_CASE_FIXTURE(Dialogue, "moving: what is in doubt is settled first: what is there leaves, what is not goes")
{
    leaving.contents = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
    leaving.in_doubt = {"a", "b"};
    coming.here["a"] = {};
    CHECK(run({"c"}) == "");
    CHECK(leaving.contents.empty());
    CHECK(given.settled == 1);
    CHECK(given.moved == 3);
    CHECK(coming.here.at("a").content.empty());        // not sent again
    CHECK(coming.here.at("b").content == "2");
}

TEST_CASE_FIXTURE(Dialogue, "moving: what is refused or cannot be read stays, and is named; all else goes")
{
    leaving.contents = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", std::string(3000, 'x')}, {"e", "5"}};
    leaving.unreadable = {"b"};
    leaving.breaks_at = 1500;
    coming.refuses = {{"c", "5.6.0"}};
    CHECK(run({"a", "b", "c", "d", "e"}) == "");
    CHECK(given.moved == 2);
    CHECK(leaving.kept == std::set<std::string>{"b", "c", "d"});
    CHECK(std::multiset<std::string>(given.refused.begin(), given.refused.end()) ==
          std::multiset<std::string>{"b: message content is damaged", "c: not this one", "d: content file: Input/output error"});
    CHECK(coming.here.size() == 2);
    CHECK(coming.gone.size() == 1);                    // the half of d
}

TEST_CASE_FIXTURE(Dialogue, "moving: a target without room ends it, and nothing of that stays in doubt")
{
    leaving.contents = {{"a", "1"}, {"b", std::string(200, 'x')}, {"c", "3"}};
    coming.refuses = {{"a", "4.3.1"}, {"b", "4.3.1"}};
    CHECK(run({"a", "b", "c"}) == "new.test has no room: not this one");
    CHECK(leaving.kept == std::set<std::string>{"a", "b"});
    CHECK(leaving.contents.size() == 3);
    CHECK(coming.gone.size() == 1);
}

TEST_CASE_FIXTURE(Dialogue, "moving: where the target's queue does not answer nothing leaves, is kept back or thrown away: both ask later")
{
    leaving.contents = {{"a", "1"}, {"b", std::string(200, 'x')}};
    coming.broken = true;
    CHECK(run({"a", "b"}) == "the target: lost connection with qmgr");
    CHECK(taking_said == "lost connection with qmgr");
    CHECK(leaving.contents.size() == 2);
    CHECK(leaving.kept.empty());
    CHECK(coming.gone.empty());
    CHECK_FALSE(leaving.ended);
}

TEST_CASE("moving: what the other side may not say ends the dialogue, and nothing of it is taken")
{
    Coming coming;
    CHECK(told({piece("x")}, coming) == "content comes that belongs to no message");
    CHECK(told({message(3), piece("abcd")}, coming) == "content comes that belongs to no message");
    CHECK(told({message(3), piece("")}, coming) == "content comes that belongs to no message");
    CHECK(told({message(3), piece("ab"), message(3)}, coming) == "a message comes before the content of the one before it is whole");
    CHECK(told({message(3), piece("ab"), batch_end()}, coming) == "content ends before it is whole");
    Said withdrawn;
    withdrawn.set_withdrawn(true);
    CHECK(told({withdrawn}, coming) == "a message is withdrawn that is whole");
    CHECK(told({message(1), piece("a"), withdrawn}, coming) == "a message is withdrawn that is whole");
    Said in_file = message(3);
    in_file.mutable_message()->mutable_content()->set_file("../../etc/passwd");
    CHECK(told({in_file}, coming) == "content is said to be in a file");
    Said nameless = message(0);
    for (const std::string& id : {std::string(), std::string("a b"), std::string(65, 'A')}) {
        nameless.mutable_message()->set_queue_id(id);
        CHECK(told({nameless}, coming) == "a message comes without its queue id there");
    }
    Said greeting;
    greeting.mutable_introduction();
    CHECK(told({greeting}, coming) == "what comes now was not expected here");
    CHECK(told(std::vector<Said>(largest_batch + 1, message(0)), coming) == "more comes at once than can be taken");
    CHECK(told({message(3), piece("abc")}, coming) == "lost the source: it ended");
    CHECK(coming.here.empty());
    CHECK(told({message(3), piece("ab"), withdrawn, message(0), batch_end()}, coming) == "lost the source: it ended");
    CHECK(coming.here.size() == 1);
}

TEST_CASE("moving: a newer source is refused, an older target as well")
{
    Coming coming;
    Leaving leaving;
    for (const bool newer_source : {true, false}) {
        Pair pair;
        Stream ours(pair.ends[0], pair.ends[0], "it"), theirs(pair.ends[1], pair.ends[1], "it");
        Said said;
        said.mutable_introduction()->set_format(newer_source ? format + 1 : format - 1);
        said.mutable_introduction()->set_identity("other");
        said.mutable_introduction()->set_version("9");
        said.mutable_introduction()->set_name("far.test");
        REQUIRE(ours.say(said));
        const auto done = newer_source ? Taking(coming, theirs, "2", "new.test").run() : Giving(leaving, theirs, "1", "old.test", {}).begin();
        REQUIRE_FALSE(done);
        CHECK(done.error().text() == (newer_source ? "far.test (Posthorn 9) has what this program cannot take over: it is newer"
                                                   : "far.test (Posthorn 9) cannot take over what this program has: it is older"));
    }
}

TEST_CASE("moving: what the other side says of itself is no terminal's order, and no more than can be kept")
{
    Introduction who;
    CHECK_FALSE(is_who(who));
    for (const std::string& identity : {std::string("a b"), std::string("../x"), std::string(65, 'a')}) {
        who.set_identity(identity);
        CHECK_FALSE(is_who(who));
    }
    who.set_identity(std::string(64, 'a'));
    who.set_name("new\x1b[2J.test" + std::string(300, 'x'));
    CHECK(is_who(who));
    CHECK(who.name().starts_with("new?[2J.test"));
    CHECK(who.name().size() == 255);
    Coming coming;
    Leaving leaving;
    for (const bool target : {true, false}) {
        Pair pair;
        Stream ours(pair.ends[0], pair.ends[0], "it"), theirs(pair.ends[1], pair.ends[1], "it");
        Said said;
        said.mutable_introduction()->set_format(format);
        said.mutable_introduction()->set_identity("\x1b[2J");
        REQUIRE(ours.say(said));
        const auto done = target ? Giving(leaving, theirs, "1", "old.test", {}).begin() : Taking(coming, theirs, "2", "new.test").run();
        REQUIRE_FALSE(done);
        CHECK(done.error().text() == "the other end does not say who it is");
    }
}

TEST_CASE("moving: what is no frame of ours is said as it is")
{
    const auto heard = [](std::string octets) {
        Pair pair;
        REQUIRE(::write(pair.ends[0], octets.data(), octets.size()) == static_cast<ssize_t>(octets.size()));
        pair.close(0);
        const auto said = Stream(pair.ends[1], pair.ends[1], "ssh").hear();
        REQUIRE_FALSE(said);
        return said.error().text();
    };
    CHECK(heard("Permission denied") == "ssh says what is none of ours, beginning \"Perm\"");
    CHECK(heard("") == "lost ssh: it ended");
    CHECK(heard("ab") == "lost ssh: it ended amid a message");
    CHECK(heard(std::string("\0\0\0\5ab", 6)) == "lost ssh: it ended amid a message");
    CHECK(heard(std::string("\0\0\0\1\xff", 5)) == "ssh says what is not understood here: it may be of another version");
    CHECK(heard(std::string("\0\0\0\0", 4)) == "ssh says what is not understood here: it may be of another version");
}

TEST_CASE("moving: which messages are meant")
{
    handoff::QueueEntry entry;
    entry.mutable_envelope()->set_queue_id("4gDqXX1z2Yz1");
    entry.mutable_envelope()->set_sender("me@ours.test");
    entry.mutable_envelope()->add_recipients()->set_address("a@one.test");
    entry.mutable_envelope()->add_recipients()->set_address("B@two.test");
    const auto means = [&](std::vector<std::string> words, std::vector<std::string> senders = {}) {
        Selection selection;
        for (const std::string& word : words)
            REQUIRE(selection.add(word));
        for (const std::string& word : senders)
            REQUIRE(selection.add_sender(word));
        return selection.means(entry);
    };
    CHECK(means({"4gDqXX1z2Yz1"}));
    CHECK_FALSE(means({"4gDqXX1z2Yz2"}));
    CHECK(means({"Two.Test"}));
    CHECK(means({"far.test", "b@two.test"}));
    CHECK_FALSE(means({"c@two.test", "wo.test"}));
    CHECK_FALSE(means({"ours.test"}));
    CHECK(means({}, {"ours.test"}));
    CHECK_FALSE(means({}, {"<>"}));
    entry.mutable_envelope()->clear_sender();
    CHECK(means({}, {"<>"}));
    Selection selection;
    CHECK(selection.empty());
    for (const char* word : {"", "a b", "@one.test", "a@", "--all"})
        CHECK_FALSE(selection.add(word));
    CHECK(selection.empty());
}
