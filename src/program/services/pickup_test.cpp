#include "services/pickup.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "handoff/queue_id.hpp"
#include "spool/incoming.hpp"
#include "submit/drop_file.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;

namespace {

struct TestQueue final : handoff::Queue {
    std::optional<std::string> next_queue_id() override { return handoff::short_queue_id(WallTime{}, ++sequence); }
    awaitable<Result<std::optional<handoff::Refusal>>> enqueue(handoff::Envelope envelope, handoff::Content content,
                                                               std::chrono::milliseconds /*patience*/) override
    {
        ++asked;
        if (away)
            co_return Error{"queue manager unavailable; whether it was stored is not known", "4.3.0"};
        if (full)
            co_return Error{"insufficient system storage", "4.3.1"};
        if (!refusal.empty() && !envelope.account().empty())
            co_return Error{"this account is suspended", refusal};
        if (content.inline_octets().size() > handoff::inline_content_limit)
            co_return Error{"content is too large to travel inside a frame", "4.3.0"};
        taken.push_back(std::move(envelope));
        contents.push_back(std::move(content));
        co_return std::nullopt;
    }
    awaitable<Result<bool>> was_committed(std::string queue_id) const { co_return committed.contains(queue_id); }

    std::uint64_t sequence = 1000;
    int asked = 0;
    bool full = false, away = false;
    std::string refusal;                // the status, of mail that an account hands in
    std::set<std::string> committed;
    std::vector<handoff::Envelope> taken;
    std::vector<handoff::Content> contents;
};

struct SameBody final : handoff::BodyCleaner {
    awaitable<std::expected<std::string, handoff::Refusal>> clean(std::string octets, bool) override { co_return octets; }
    awaitable<std::expected<handoff::Envelope, handoff::Refusal>> conclude(handoff::Envelope envelope) override { co_return envelope; }
    bool discards() const override { return false; }
};

struct TestCleaner final : handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        if (!refusal.empty() && seen >= refuses_after)
            co_return std::unexpected(handoff::Refusal{code, "5.7.1", refusal});
        handoff::Cleaned cleaned(std::move(envelope), added + std::move(head));
        cleaned.discard = discard;
        if (nobody)
            cleaned.envelope.clear_recipients();
        if (looks_at_body)
            cleaned.body = std::make_unique<SameBody>();
        ++seen;
        co_return cleaned;
    }
    std::string refusal, added;
    int code = 550;
    bool discard = false, nobody = false, looks_at_body = false;
    int seen = 0, refuses_after = 0;
};

std::unique_ptr<report::Options> reports_of(std::string host)
{
    auto made = std::make_unique<report::Options>();
    made->myhostname = std::move(host);
    made->double_bounce_sender = "double-bounce@ours.test";
    made->bounce_notice_recipient = made->double_bounce_notice_recipient = "postmaster@ours.test";
    made->parameter = [](std::string_view) { return std::optional<std::string>("x"); };
    return made;
}

/// Pickup works in the queue directory.
struct PickupFixture {
    asio::io_context loop;
    std::string before = std::filesystem::current_path();
    std::string folder = [] {
        char path[] = "/tmp/posthorn-pickup.XXXXXX";
        return std::string(::mkdtemp(path));
    }();
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    TestQueue queue;
    TestCleaner cleaner;
    std::unique_ptr<report::Options> reports = reports_of("mail.ours.test");
    std::unique_ptr<Pickup> pickup;

    PickupFixture()
    {
        std::filesystem::current_path(folder);
        for (const char* name : {"maildrop", "spool/incoming", "corrupt"})
            std::filesystem::create_directories(name);
        PickupOptions options;
        options.myhostname = "mail.ours.test";
        options.mail_name = "Posthorn";
        pickup = std::make_unique<Pickup>(
            loop.get_executor(), options, [this]() -> const report::Options& { return *reports; }, queue,
            [this](std::string queue_id) { return queue.was_committed(std::move(queue_id)); }, cleaner, clock, observe::Log(sink, "postfix/pickup"),
            observe::Log(sink, "postfix/bounce"));
    }
    ~PickupFixture()
    {
        run(loop, pickup->close());
        std::filesystem::current_path(before);
        std::filesystem::remove_all(folder);
    }
    void run_until(const std::function<bool()>& done) { posthorn::run_until(loop, done); }
    void go_on(std::chrono::milliseconds time)
    {
        const auto end = std::chrono::steady_clock::now() + time;
        run_until([&] { return std::chrono::steady_clock::now() >= end; });
    }
    std::string drop(std::size_t octets) { return drop("Subject: x\r\n\r\n" + std::string(octets, 'x') + "\r\n", submit::chunk_limit); }
    /// In chunks of `chunk` octets; those from `from` to `to` octet by octet.
    static std::string drop(std::string_view content, std::size_t chunk, std::size_t from = 0, std::size_t to = 0)
    {
        handoff::Envelope envelope;
        envelope.set_sender("a@ours.test");
        envelope.add_recipients()->set_address("u@there.test");
        auto file = submit::DropFile::create("maildrop");
        REQUIRE(file);
        REQUIRE(file->write(submit::encode_head(envelope.SerializeAsString())));
        std::string chunks;
        for (std::size_t at = 0, size = 0; at < content.size(); at += size) {
            size = at >= from && at < to ? 1 : at < from ? std::min(chunk, from - at) : chunk;
            chunks += submit::encode_content(content.substr(at, size));
        }
        REQUIRE(file->write(chunks));
        REQUIRE(file->write(submit::encode_end()));
        auto name = file->commit();
        REQUIRE(name);
        return *name;
    }
    handoff::ReportRequest expired(std::uint32_t recipients) const
    {
        handoff::ReportRequest request;
        request.set_kind(handoff::ReportRequest::FAILURE);
        request.set_now(clock.wall().time_since_epoch().count());
        request.add_queue_ids("4D2A93E8");
        request.add_queue_ids("4D2A93E9");
        request.set_header("Subject: x\r\n\r\n");
        handoff::Envelope& envelope = *request.mutable_envelope();
        envelope.set_queue_id("4D2A93E0");
        envelope.set_sender("a@ours.test");
        for (std::uint32_t index = 0; index < recipients; ++index) {
            handoff::Recipient& recipient = *envelope.add_recipients();
            recipient.set_index(index);
            recipient.set_address(fmt::format("u{}@there.test", index));
            handoff::Verdict& verdict = *request.add_verdicts();
            verdict.set_recipient(index);
            verdict.set_outcome(handoff::OUTCOME_EXPIRED);
            verdict.set_status("4.4.1");
            verdict.set_text("connect to mx.there.test[192.0.2.1]:25: Connection timed out");
        }
        return request;
    }
    static std::vector<std::string> names(const std::string& where)
    {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(where))
            found.push_back(entry.path().filename());
        return found;
    }
};

}  // namespace

TEST_CASE_FIXTURE(PickupFixture, "pickup: a file that cannot be handed over now is tried again after a pause, and does not keep the process busy")
{
    queue.full = true;
    drop(10);
    pickup->start();
    run_until([&] { return queue.asked >= 1; });
    go_on(100ms);
    CHECK(queue.asked == 1);
    CHECK(names("maildrop").size() == 1);
    queue.full = false;
    drop(20);                                                   // another one is taken meanwhile
    pickup->wake();
    run_until([&] { return queue.taken.size() == 1; });
    clock.advance(61s);
    pickup->wake();
    run_until([&] { return names("maildrop").empty(); });
    CHECK(queue.taken.size() == 2);
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a large file whose message the queue had when the last process ended is removed, and not sent twice")
{
    const std::string name = drop(100'000), queue_id = handoff::short_queue_id(WallTime{}, 7);
    std::filesystem::rename("maildrop/" + name, "maildrop/" + name + "+" + queue_id);
    SUBCASE("it was committed: its content lies where it was put")
    {
        queue.committed.insert(queue_id);
        const auto files = spool::system_files("spool");
        auto file = spool::IncomingFile::create(*files, queue_id);
        REQUIRE(file);
        file->keep();
        pickup->start();
        run_until([&] { return names("maildrop").empty(); });
        CHECK(queue.asked == 0);
        CHECK(names("spool/incoming") == std::vector{queue_id});
    }
    SUBCASE("it was not: what was left of its content is written anew")
    {
        {
            const auto files = spool::system_files("spool");
            auto file = spool::IncomingFile::create(*files, queue_id);
            REQUIRE(file);
            REQUIRE(file->append("half"));
            file->keep();
        }
        pickup->start();
        run_until([&] { return names("maildrop").empty(); });
        REQUIRE(queue.taken.size() == 1);
        CHECK(queue.contents[0].file() == queue_id);
        CHECK(std::filesystem::file_size("spool/incoming/" + queue_id) == queue.taken[0].size());
    }
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a report that is too large for a frame goes by a file; a small one does not")
{
    std::uint32_t recipients = 1;
    SUBCASE("small") {}
    SUBCASE("of many") { recipients = 500; }
    handoff::ReportRequest request = expired(recipients);
    std::optional<Result<handoff::ReportReply>> reply;
    asio::co_spawn(loop, pickup->report(std::move(request)), [&](std::exception_ptr, Result<handoff::ReportReply> made) { reply = std::move(made); });
    run_until([&] { return reply.has_value(); });
    REQUIRE(*reply);
    REQUIRE((**reply).messages_size() == 1);
    const handoff::EnqueueRequest& made = (**reply).messages(0);
    if (recipients == 1) {
        CHECK(made.content().inline_octets().size() == made.envelope().size());
        CHECK(names("spool/incoming").empty());
    } else {
        CHECK(made.content().inline_octets().empty());
        CHECK(made.content().file() == "4D2A93E8");
        CHECK(std::filesystem::file_size("spool/incoming/4D2A93E8") == made.envelope().size());
        CHECK(made.envelope().size() > handoff::inline_content_limit);
    }
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a long header that comes octet by octet ends where it ends, with an empty line or with what is no field")
{
    std::string header;
    while (header.size() < 3 << 19)                              // beyond what is searched for an empty line alone
        header += "X-Line: " + std::string(900, 'x') + "\r\n";
    std::string content;
    SUBCASE("an empty line") { content = header + "\r\nthe body\r\n"; }
    SUBCASE("what is no field") { content = header + "the body begins\r\n" + std::string(1 << 20, 'y') + "\r\n\r\nmore of it\r\n"; }
    const std::size_t octets = 100'000;                          // before and behind the end of the header
    drop(content, submit::chunk_limit, header.size() - octets, header.size() + octets);
    pickup->start();
    run_until([&] { return names("maildrop").empty(); });
    REQUIRE(queue.taken.size() == 1);
    std::ifstream file("spool/incoming/" + queue.contents[0].file(), std::ios::binary);
    const std::string stored{std::istreambuf_iterator<char>(file), {}};
    CHECK(stored.starts_with("Received: "));
    CHECK(stored.ends_with(content));
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: what cleanup refuses goes back, however long its header, in the words that are in force by now")
{
    reports = reports_of("new.ours.test");                     // a reload: the old ones are gone
    cleaner.refusal = "too many hops";
    handoff::Envelope envelope;
    envelope.set_sender("a@ours.test");
    envelope.add_recipients()->set_address("u@there.test");
    auto file = submit::DropFile::create("maildrop");
    REQUIRE(file);
    REQUIRE(file->write(submit::encode_head(envelope.SerializeAsString())));
    for (int i = 0; i < 1000; ++i)
        REQUIRE(file->write(submit::encode_content(fmt::format("X-Long-{}: {}\r\n", i, std::string(80, 'x')))));
    REQUIRE(file->write(submit::encode_content("\r\nbody\r\n")));
    REQUIRE(file->write(submit::encode_end()));
    REQUIRE(file->commit());
    pickup->start();
    run_until([&] { return names("maildrop").empty(); });
    REQUIRE(queue.taken.size() == 1);
    CHECK(queue.taken[0].recipients(0).address() == "a@ours.test");
    CHECK(queue.taken[0].message_id().ends_with("@new.ours.test>"));
    CHECK(queue.contents[0].file() == queue.taken[0].queue_id());
    REQUIRE(!sink->lines.empty());
    CHECK(sink->lines.back().starts_with("postfix/bounce: "));  // as of mail that fails later: who reads the log counts these
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a message with a long header is cleaned anew like any other")
{
    std::string header;
    while (header.size() < 3 << 19)
        header += "X-Line: " + std::string(900, 'x') + "\r\n";
    std::string content;
    bool again = true;
    SUBCASE("an empty line ends it") { content = header + "\r\nthe body\r\n"; }
    SUBCASE("what is no field ends it") { content = header + "the body begins\r\n" + std::string(1 << 20, 'y') + "\r\n\r\nmore of it\r\n"; }
    SUBCASE("nothing does") { content = header; }
    SUBCASE("it was in no queue")
    {
        content = header;
        again = false;
    }
    handoff::RequeueRequest request;
    if (again)
        request.mutable_envelope()->set_queue_id("OLD");
    request.mutable_envelope()->set_size(content.size());
    request.mutable_envelope()->add_recipients()->set_address("u@there.test");
    std::vector<Fd> descriptors;
    {
        std::ofstream("content", std::ios::binary) << content;
        descriptors.emplace_back(::open("content", O_RDONLY | O_CLOEXEC));
    }
    std::optional<Result<handoff::RequeueReply>> reply;
    asio::co_spawn(loop, pickup->requeue(request, std::move(descriptors)),
                   [&](std::exception_ptr, Result<handoff::RequeueReply> answer) { reply = std::move(answer); });
    run_until([&] { return reply.has_value(); });
    REQUIRE(*reply);
    CHECK((*reply)->text() == "");
    const handoff::Content& made = (*reply)->message().content();
    std::ifstream file("spool/incoming/" + made.file(), std::ios::binary);
    const std::string stored{std::istreambuf_iterator<char>(file), {}};
    const std::string queue_id = (*reply)->message().envelope().queue_id();
    CHECK(stored.starts_with(fmt::format("Received: by mail.ours.test (Posthorn{})\r\n\tid {}; ",
                                         again ? fmt::format(", from userid {}", ::geteuid()) : std::string(), queue_id)));
    CHECK(std::ranges::any_of(sink->lines, [](const std::string& line) { return line.find(": uid=") != std::string::npos; }) == again);
    CHECK(stored.ends_with(content));
    CHECK((*reply)->message().envelope().size() == stored.size());
    CHECK(made.nobodys());                                           // who asked has no way to remove it
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: what local sends on is not cleaned as what is handed in, and what it hands to another transport not at all")
{
    cleaner.added = "X-Cleaned: all\r\n";
    TestCleaner forwarder;
    forwarder.added = "X-Cleaned: forwarded\r\n";
    pickup->forward_by(&forwarder);
    const auto made = [&](bool forwarded, bool unchanged, std::uint32_t hops) {
        handoff::RequeueRequest request;
        request.set_forwarded(forwarded);
        request.set_unchanged(unchanged);
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        request.mutable_envelope()->set_size(request.content().inline_octets().size());
        request.mutable_envelope()->set_hops(hops);
        request.mutable_envelope()->set_message_id("<1@x>");
        request.mutable_envelope()->add_recipients()->set_address("u@there.test");
        return run(loop, pickup->requeue(std::move(request), {})).value();
    };
    CHECK(made(false, false, 3).message().content().inline_octets().starts_with("X-Cleaned: all\r\nReceived: "));
    CHECK(made(true, false, 3).message().content().inline_octets().starts_with("X-Cleaned: forwarded\r\nReceived: "));
    const handoff::RequeueReply passed = made(false, true, 3);
    CHECK(passed.message().content().inline_octets() == "Subject: x\r\n\r\nbody\r\n");
    CHECK(passed.message().content().nobodys());
    CHECK(passed.message().envelope().hops() == 4);
    CHECK(passed.message().envelope().message_id() == "<1@x>");
    CHECK_FALSE(passed.message().envelope().queue_id().empty());
    CHECK(made(false, true, 49).has_message());
    CHECK_FALSE(made(false, true, 50).has_message());        // mailbox_transport = local, and no Received: field counts it
    CHECK(made(false, true, 50).status() == "5.4.6");
}

TEST_CASE_FIXTURE(PickupFixture,
                  "pickup: reports are looked at as mail of others is where internal_mail_filter_classes says so, and notices where it says that")
{
    TestCleaner inspector;
    inspector.added = "X-Seen: yes\r\n";
    pickup->inspect_by(&inspector);
    const auto report = [&] {
        handoff::ReportRequest request = expired(1);
        handoff::Verdict& verdict = *request.mutable_verdicts(0);
        verdict.set_outcome(handoff::OUTCOME_BOUNCED);
        verdict.set_status("5.1.1");
        verdict.set_text("unknown");
        return run(loop, pickup->report(std::move(request)));
    };
    const auto notice = [&] {
        handoff::SessionNotice made;
        made.set_client("c.test[192.0.2.1]");
        const std::size_t before = queue.taken.size();
        run(loop, pickup->tell_postmaster(std::move(made))).value();
        return queue.taken.size() - before;
    };
    const auto classes = [&](std::string_view words) {
        PickupOptions options;
        options.myhostname = "mail.ours.test";
        set_internal_filter_classes(options, words).value();
        pickup->reconfigure(std::move(options));
    };
    CHECK(report()->messages_size() == 1);
    CHECK(notice() == 1);
    CHECK(inspector.seen == 0);

    classes("Bounce");
    const auto seen = report();
    REQUIRE(seen->messages_size() == 1);
    CHECK(seen->messages(0).content().inline_octets().starts_with("X-Seen: yes\r\n"));
    CHECK(seen->messages(0).envelope().size() == seen->messages(0).content().inline_octets().size());
    CHECK(notice() == 1);
    CHECK(inspector.seen == 1);
    classes("notify, bounce");
    CHECK(notice() == 1);
    CHECK(queue.contents.back().inline_octets().starts_with("X-Seen: yes\r\n"));
    inspector.discard = true;
    CHECK(report()->messages_size() == 0);
    CHECK(notice() == 0);
    inspector.discard = false;
    inspector.refusal = "no";
    CHECK(report()->messages_size() == 0);
    CHECK(sink->lines.back().find("4D2A93E8: mail of our own is refused, and not sent: 5.7.1 no") != std::string::npos);

    PickupOptions options;
    CHECK(set_internal_filter_classes(options, "bounce, other").error().text() ==
          "internal_mail_filter_classes: unknown word \"other\": expected bounce, notify");
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: who may not say that sender is told so, and the mail goes nowhere")
{
    std::vector<std::string> asked;
    Pickup::Verdict verdict;
    bool away = false;
    struct Part {
        static awaitable<Result<Pickup::Verdict>> judge(std::vector<std::string>* asked, const Pickup::Verdict* verdict, const bool* away,
                                                        std::uint32_t user, std::string sender)
        {
            asked->push_back(fmt::format("{} {}", user == ::getuid() ? "we" : "somebody", sender));
            if (*away)
                co_return Error{"table away", "4.3.0"};
            co_return *verdict;
        }
    };
    pickup->judge_senders([&](std::uint32_t user, std::string sender) { return Part::judge(&asked, &verdict, &away, user, std::move(sender)); });
    pickup->start();
    drop(10);
    run_until([&] { return queue.taken.size() == 1 && names("maildrop").empty(); });
    CHECK(asked == std::vector<std::string>{"we a@ours.test"});
    CHECK(queue.taken[0].sender() == "a@ours.test");
    verdict = {.login = "joe", .allowed = false};
    drop(10);
    pickup->wake();
    run_until([&] { return queue.taken.size() == 2 && names("maildrop").empty(); });
    CHECK(queue.taken[1].sender().empty());                          // a report, to who handed it in
    REQUIRE(queue.taken[1].recipients_size() == 1);
    CHECK(queue.taken[1].recipients(0).address() == "joe");
    CHECK(queue.contents[1].inline_octets().find("not authorized to use sender='a@ours.test'") != std::string::npos);
    const auto logged = [&](std::string_view text) {
        return std::ranges::any_of(sink->lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
    };
    CHECK(logged(fmt::format("uid={}: not authorized to use sender='a@ours.test'", ::getuid())));
    verdict.login.clear();                                           // nobody with a name: the postmaster is told
    drop(10);
    pickup->wake();
    run_until([&] { return names("maildrop").empty(); });
    REQUIRE(queue.taken.size() == 3);
    CHECK(queue.taken[2].sender().empty());
    REQUIRE(queue.taken[2].recipients_size() == 1);
    CHECK(queue.taken[2].recipients(0).address() == "postmaster@ours.test");
    CHECK(queue.contents[2].inline_octets().find("not authorized to use sender='a@ours.test'") != std::string::npos);
    away = true;                                                     // not known now: it waits
    drop(10);
    pickup->wake();
    run_until([&] { return logged("table away"); });
    CHECK(names("maildrop").size() == 1);
    CHECK(queue.taken.size() == 3);
}

TEST_CASE_FIXTURE(PickupFixture,
                  "pickup: mail has the account of who called sendmail; what that may not hand in goes back, what it may not now waits")
{
    struct Part {
        static awaitable<Result<std::string>> limits(std::uint32_t user) { co_return fmt::format("messages={}/h", user); }
    };
    pickup->limit_by([](std::uint32_t user) { return Part::limits(user); });
    pickup->start();
    drop(10);
    run_until([&] { return queue.taken.size() == 1 && names("maildrop").empty(); });
    CHECK(queue.taken[0].account() == fmt::format("uid:{}", ::getuid()));
    CHECK(queue.taken[0].account_limits() == fmt::format("messages={}/h", ::getuid()));
    queue.refusal = "4.7.1";
    drop(10);
    pickup->wake();
    run_until([&] { return queue.asked == 2 && names("maildrop").size() == 1; });
    CHECK(queue.taken.size() == 1);
    clock.advance(std::chrono::seconds{61});                         // not as soon as other trouble is over
    pickup->wake();
    go_on(std::chrono::milliseconds{50});
    CHECK(queue.asked == 2);
    queue.refusal = "5.7.1";
    clock.advance(std::chrono::seconds{240});
    pickup->wake();
    run_until([&] { return queue.taken.size() == 2 && names("maildrop").empty(); });
    CHECK(queue.taken[1].sender().empty());                          // a report, to the sender
    CHECK(queue.taken[1].account().empty());
    CHECK(queue.contents[1].inline_octets().find("this account is suspended") != std::string::npos);
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a report of which a part fails leaves no file behind")
{
    TestCleaner inspector;
    inspector.looks_at_body = true;
    pickup->inspect_by(&inspector);
    PickupOptions options;
    options.myhostname = "mail.ours.test";
    set_internal_filter_classes(options, "bounce").value();
    pickup->reconfigure(std::move(options));
    reports->notify.bounce = true;                                   // the sender's, and the postmaster's
    const auto report = [&] { return run(loop, pickup->report(expired(500))); };
    SUBCASE("nothing fails")
    {
        REQUIRE(report()->messages_size() == 2);
        CHECK(names("spool/incoming").size() == 2);
    }
    SUBCASE("the second cannot be looked at now")
    {
        inspector.refuses_after = 1;
        inspector.refusal = "table away";
        inspector.code = 451;
        CHECK(report().error().text() == "table away");
        CHECK(inspector.seen == 1);
        CHECK(names("spool/incoming").empty());
    }
    SUBCASE("the second is refused: the first is all")
    {
        inspector.refuses_after = 1;
        inspector.refusal = "no";
        REQUIRE(report()->messages_size() == 1);
        CHECK(names("spool/incoming") == std::vector<std::string>{"4D2A93E8"});
    }
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: what cannot be sent back now leaves no file behind, but where it may have been stored all the same")
{
    cleaner.refusal = "too many hops";
    SUBCASE("a full queue") { queue.full = true; }
    SUBCASE("a queue that went away") { queue.away = true; }
    drop("X-Long: " + std::string(100'000, 'x') + "\r\n\r\nbody\r\n", submit::chunk_limit);
    pickup->start();
    run_until([&] { return queue.asked == 1; });
    go_on(50ms);
    CHECK(names("maildrop").size() == 1);
    CHECK(names("spool/incoming").size() == (queue.away ? 1 : 0));
}

TEST_CASE_FIXTURE(PickupFixture, "pickup: a large message whose recipients lead nowhere leaves no file behind")
{
    cleaner.nobody = true;
    SUBCASE("header alone") {}
    SUBCASE("with its body looked at") { cleaner.looks_at_body = true; }
    drop(100'000);
    pickup->start();
    run_until([&] { return names("maildrop").empty(); });
    CHECK(cleaner.seen == 1);
    CHECK(queue.asked == 0);
    CHECK(names("spool/incoming").empty());
}
