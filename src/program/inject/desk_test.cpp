#include "inject/desk.hpp"

#include "base/strings.hpp"
#include "receive/testing.hpp"
#include "sasl/testing.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <set>

using namespace posthorn;
using namespace posthorn::inject;
using receive::testing::has;
using receive::testing::House;
using receive::testing::options_of;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

receive::Options options_here(Settings settings = {})
{
    auto options = options_of(std::move(settings));
    options.protocol = "HTTP";
    options.error_sleep_time = std::chrono::seconds{0};
    // As services/smtpd.cpp has them behind a front.
    for (receive::Pace* pace : {&options.calm, &options.stressed})
        pace->soft_error_limit = pace->hard_error_limit = pace->junk_command_limit = 1 << 30;
    return options;
}

struct OpenSessions final : receive::Rates {
    awaitable<Result<Count>> count(Event event, std::string) override
    {
        open += event == Event::connect;
        most = std::max(most, open);
        co_return Count{open, 1};
    }
    void disconnected(std::string) override { --open; }
    std::uint32_t open = 0, most = 0;
};

struct SlowDisk {
    awaitable<void> wait()
    {
        most = std::max(most, ++at_once);
        co_await sleep_for(std::chrono::milliseconds{5});
        --at_once;
    }
    std::size_t at_once = 0, most = 0;
};

/// The service without its sockets: requests are put upon the desk.
struct Office {
    explicit Office(
        Settings settings = {}, bool token_needed = false, const std::function<void(House&)>& prepare = [](House&) {})
        : house(options_here(std::move(settings))),
          desk(house.loop.get_executor(), prepared(house, prepare), token_needed, observe::Log(house.sink, "postfix/inject"))
    {
        access = *http::Access::make(access_words, config::parse_list("192.0.2.0/24"), config::parse_list("localhost"));
        (void)access.set_token("0123456789abcdef");
        desk.know(access);
    }
    static receive::Server& prepared(House& house, const std::function<void(House&)>& prepare)
    {
        prepare(house);
        return house.smtpd();
    }
    ~Office() { run(house.loop, desk.drained()); }

    static http::Request request(std::string body)
    {
        http::Request made;
        made.method = "POST";
        made.target = "/api/inject/v1";
        made.content_type = "application/json";
        made.body = std::move(body);
        return made;
    }
    Answer put(http::Request request, const char* client = "192.0.2.100")
    {
        net::MemoryOptions options;
        options.first = net::Endpoint(net::IpAddress::parse(client).value_or(net::IpAddress()), 40000);
        auto [outside, inside] = net::memory_pair(house.loop.get_executor(), options);
        if (auto refused = desk.refusal(request, *inside))
            return *std::move(refused);
        return run(house.loop, desk.answer(std::move(request), *inside, nullptr));
    }
    Answer post(std::string body) { return put(request(std::move(body))); }
    std::string stored(std::size_t at) const { return house.queue.stored.at(at).second.inline_octets(); }

    House house;
    http::Access access;
    Desk desk;
};

std::string mail(std::string_view recipients, std::string_view content = R"("Subject: x\n\nHello {{ name }}")")
{
    return fmt::format(R"({{"envelope_sender": "a@b.test", "recipients": [{}], "content": {}}})", recipients, content);
}

std::string many(std::size_t count, const char* domain = "example.test", const char* local = "user")
{
    std::string list;
    for (std::size_t at = 0; at < count; ++at)
        list += fmt::format(R"({}{{"email": "{}@{}", "name": "N{}"}})", at == 0 ? "" : ", ", local, domain, at);
    return list;
}

}  // namespace

TEST_CASE("desk: a request becomes mail of its client, which says how it came, and is answered when that is stored")
{
    Office office;
    const Answer answer = office.post(mail(R"({"email": "user@example.test", "name": "Ann"})"));
    CHECK(answer.status == 200);
    CHECK(answer.body == "{\"success_count\": 1, \"fail_count\": 0, \"failed_recipients\": [], \"errors\": []}\n");
    REQUIRE(office.house.queue.stored.size() == 1);
    const auto& envelope = office.house.queue.stored[0].first;
    CHECK(envelope.sender() == "a@b.test");
    CHECK(envelope.client().address() == "192.0.2.100");
    CHECK(envelope.client().name() == "inside.test");
    CHECK(envelope.client().protocol() == "HTTP");
    CHECK(has(office.stored(0), "Received: from [192.0.2.100] (inside.test [192.0.2.100])\r\n\tby mx.example.test (Posthorn) with HTTP id Q1\r\n"));
    CHECK(office.stored(0).ends_with("Subject: x\r\n\r\nHello Ann\r\n"));
    CHECK(office.house.logged("client [192.0.2.100]: injected: from=<a@b.test>, nrcpt=1, accepted=1, refused=0"));
    CHECK(office.house.logged("disconnect from inside.test[192.0.2.100] ehlo=1 mail=1 rcpt=1 bdat=1 rset=1 quit=1 commands=6"));
}

TEST_CASE("desk: each of many recipients gets their own, once, and what is stored together is waited for together")
{
    Office office;
    SlowDisk disk;
    office.house.queue.wait = [&disk](const std::string&) { return disk.wait(); };
    CHECK(has(office.post(mail(many(200))).body, "\"success_count\": 200, \"fail_count\": 0"));
    REQUIRE(office.house.queue.stored.size() == 200);
    std::set<std::string> texts;
    for (std::size_t at = 0; at < 200; ++at)
        texts.insert(office.stored(at).substr(office.stored(at).find("\r\n\r\n")));
    CHECK(texts.size() == 200);
    CHECK(disk.most > Desk::mails_at_once);                                 // several sessions, several mails each
    CHECK(disk.most <= Desk::mails_at_once * Desk::sessions_at_once);
}

TEST_CASE("desk: where all get the same, a mail has many recipients, and each reply is its recipient's")
{
    Office office;
    const std::string list = many(150) + R"(, {"email": "nobody@example.test"}, {"email": "no address"}, {"email": "other@example.test"})";
    const Answer answer = office.post(mail(list, R"("Subject: x\n\nHello")"));
    CHECK(has(answer.body,
              "\"success_count\": 151, \"fail_count\": 2, \"failed_recipients\": [\"nobody@example.test\", \"no address\"], \"errors\": "
              "[\"nobody@example.test: 550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table\", "
              "\"no address: 501 5.1.3 Bad recipient address syntax\"]"));
    REQUIRE(office.house.queue.stored.size() == 2);
    CHECK(office.house.queue.stored[0].first.recipients_size() == 100);
    CHECK(office.house.queue.stored[1].first.recipients_size() == 51);
}

TEST_CASE("desk: what is refused is refused with the reply that an SMTP client hears, whatever stands before and behind it")
{
    Office office;
    std::string list = many(20, "elsewhere.test") + ", " + many(30) +
                       R"(, {"email": "nobody@example.test"}, {"email": "user@example.test", "substitutions": {"name": {}}})";
    const Answer refused = office.put(Office::request(mail(list)), "192.0.2.1");
    CHECK(has(refused.body, "\"success_count\": 31, \"fail_count\": 21"));
    CHECK(has(refused.body, "\"user@elsewhere.test: 454 4.7.1 <user@elsewhere.test>: Relay access denied\""));
    CHECK(office.house.queue.stored.size() == 31);
    const Answer content = office.post(mail(many(3), R"("X-Bad: yes\n\nHello {{ name }}")"));
    CHECK(has(content.body, "\"success_count\": 0, \"fail_count\": 3"));
    CHECK(has(content.body, "550 5.7.1 no"));
    office.house.queue.refused = {fmt::format("Q{}", office.house.queue.ids + 2)};
    CHECK(has(office.post(mail(many(3))).body, "\"success_count\": 2, \"fail_count\": 1"));
    Office small({{"message_size_limit", "1000"}});
    const Answer large = small.post(mail(many(1), "\"\\n\\n" + std::string(2000, 'x') + "\""));
    CHECK(has(large.body, "\"fail_count\": 1"));
    CHECK(small.house.queue.stored.empty());
}

TEST_CASE("desk: a server that offers neither CHUNKING nor PIPELINING is spoken to as it wants")
{
    Office office({{"smtpd_discard_ehlo_keywords", "chunking, pipelining"}});
    CHECK(has(office.post(mail(many(5) + R"(, {"email": "nobody@example.test"})", R"("Subject: x\n\n.dot\n..\nHello {{ name }}")")).body,
              "\"success_count\": 5, \"fail_count\": 1"));
    REQUIRE(office.house.queue.stored.size() == 5);
    CHECK(office.stored(0).ends_with("\r\n\r\n.dot\r\n..\r\nHello N0\r\n"));
}

TEST_CASE("desk: a session that ends by itself is followed by another one, and nothing is sent twice")
{
    Office office({{"smtpd_session_mail_limit", "3"}});
    CHECK(has(office.post(mail(many(40))).body, "\"success_count\": 40"));
    CHECK(office.house.queue.stored.size() == 40);
}

TEST_CASE("desk: a client that may have few connections is served by those")
{
    OpenSessions rates;
    Office office({{"smtpd_client_connection_count_limit", "2"}}, false, [&](House& house) { house.rates = &rates; });
    CHECK(has(office.put(Office::request(mail(many(100))), "192.0.2.1").body, "\"success_count\": 100"));
    CHECK(rates.most > 2);                                             // more were tried
    CHECK(rates.open == 0);
}

TEST_CASE("desk: no place for a transaction is waited for")
{
    auto options = options_here();
    options.transaction_limit = 1;
    House house(options);
    Desk desk(house.loop.get_executor(), house.smtpd(), false, observe::Log(house.sink, "postfix/inject"));
    auto [outside, inside] = net::memory_pair(house.loop.get_executor());
    const Answer answer = run(house.loop, desk.answer(Office::request(mail(many(100))), *inside, nullptr));
    CHECK(has(answer.body, "\"success_count\": 100"));
    run(house.loop, desk.drained());
}

TEST_CASE("desk: a request that is wrong injects nothing, and is told what is wrong with it")
{
    Office office;
    for (const auto& [body, error] :
         {std::pair{std::string("{\"a\""), std::string("line 1, column 5: ")},
          {mail(R"({"email": 1})"), "recipients[0].email: a string is needed"},
          {mail(many(2), R"("\n{% foo %}")"), "content: line 2, column 4: the statement \\\"foo\\\" is not known here"}}) {
        CAPTURE(body);
        const Answer answer = office.post(body);
        CHECK(answer.status == 400);
        CHECK(has(answer.body, "{\"error\": \"" + error));
    }
    CHECK(office.house.queue.asked == 0);
    // What has no meaning for one recipient is that one's failure.
    const Answer one = office.post(
        mail(R"({"email": "user@example.test", "substitutions": {"u": {"x": 1}}}, {"email": "other@example.test"})", R"("\n\n{{ u.x }}")"));
    CHECK(has(one.body, "\"success_count\": 1, \"fail_count\": 1, \"failed_recipients\": [\"other@example.test\"]"));
    CHECK(has(one.body, "554 5.6.0 line 3, column 6: what is undefined has no member"));
}

TEST_CASE("desk: by its header a request is refused that is none, comes from a page, or shows no token")
{
    Office office({}, true);
    const auto status = [&](std::string_view authorization, const char* method = "POST", const char* target = "/api/inject/v1",
                            const char* type = "application/json; charset=utf-8", const char* encoding = "") {
        http::Request request = Office::request(mail(many(1)));
        request.authorization = authorization;
        request.method = method;
        request.target = target;
        request.content_type = type;
        request.content_encoding = encoding;
        return office.put(std::move(request)).status;
    };
    const char* const good = "Bearer 0123456789abcdef";
    CHECK(status(good) == 200);
    CHECK(status("") == 401);
    CHECK(status("Bearer 0123456789abcdeX") == 401);
    CHECK(status("Basic " + base64_encode("user:password")) == 401);   // smtpd_sasl_auth_enable is off
    CHECK(status(good, "GET") == 405);
    CHECK(status(good, "POST", "/api/inject/v2") == 404);
    CHECK(status(good, "POST", "/api/inject/v1", "text/plain") == 415);
    CHECK(status(good, "POST", "/api/inject/v1", "") == 415);
    CHECK(status(good, "POST", "/api/inject/v1", "application/json", "gzip") == 415);
    CHECK(office.house.queue.stored.size() == 1);
    REQUIRE(office.access.set_token(""));
    CHECK(status(good) == 403);                                        // the file is gone: nobody has the token
    Office open;
    http::Request nobody = Office::request(mail(many(1)));
    CHECK(open.put(std::move(nobody)).status == 200);
    CHECK(open.house.queue.stored.at(0).first.account().empty());
}

TEST_CASE("desk: a name and password are proved by the session, whose sender logins count; wrong ones inject nothing")
{
    sasl::testing::FakeDovecot dovecot;
    {
        Office office({{"smtpd_sasl_auth_enable", "yes"},
                       {"smtpd_sasl_type", "dovecot"},
                       {"smtpd_sasl_path", "private/auth"},
                       {"smtpd_relay_restrictions", "permit_sasl_authenticated, reject_unauth_destination"},
                       {"smtpd_sender_login_maps", "inline:{a@b.test=joe, x@b.test=ann}"},
                       {"smtpd_sender_restrictions", "reject_authenticated_sender_login_mismatch"}},
                      true, [&](House& house) { house.auth_connector = dovecot.connector(house.loop); });
        const auto as = [&](std::string_view login, std::string body) {
            http::Request request = Office::request(std::move(body));
            request.authorization = "Basic " + base64_encode(login);
            return office.put(std::move(request), "192.0.2.1");
        };
        const Answer good = as("joe:secret", mail(many(1, "elsewhere.test")));
        CHECK(has(good.body, "\"success_count\": 1"));
        REQUIRE(office.house.queue.stored.size() == 1);
        CHECK(office.house.queue.stored[0].first.client().sasl_username() == "joe");
        CHECK(office.house.queue.stored[0].first.account() == "login:joe");
        CHECK(has(office.stored(0), " with HTTP id "));
        const Answer bad = as("joe:wrong", mail(many(200)));
        CHECK(bad.status == 401);
        CHECK(has(bad.body, "535 5.7.8 Error: authentication failed"));
        CHECK(as("joe", mail(many(1))).status == 401);
        const Answer other = as("joe:secret", mail(many(1)).replace(21, 8, "x@b.test"));
        CHECK(has(other.body, "553 5.7.1 <x@b.test>: Sender address rejected: not owned by user joe"));
        CHECK(office.house.queue.stored.size() == 1);
        CHECK_FALSE(has(office.house.whole_log(), base64_encode(std::string_view("\0joe\0secret", 11))));
        dovecot.end();
    }
    // Where there is nothing to prove a password with, that is said, and to no session.
    Office office({}, true);
    http::Request request = Office::request(mail(many(1)));
    request.authorization = "Basic " + base64_encode("joe:secret");
    const Answer none = office.put(std::move(request));
    CHECK(none.status == 401);
    CHECK(has(none.body, "smtpd_sasl_auth_enable is off"));
    CHECK_FALSE(has(office.house.whole_log(), "connect from"));
}

TEST_CASE("desk: memory has its ceiling, past which a request is told to come again, and all is given back")
{
    Office office({{"smtpd_memory_limit", "1048576"}});
    const Answer large = office.post(mail(many(1), "\"\\n\\n" + std::string(600'000, 'x') + "\""));
    CHECK(large.status == 503);
    CHECK(std::ranges::any_of(large.fields, [](const auto& field) { return field.first == "Retry-After"; }));
    std::string deep = "[";
    for (int i = 0; i < 100'000; ++i)
        deep += "{},";
    CHECK(office.post(mail(many(1)).insert(1, "\"substitutions\": {\"a\": " + deep + "1]}, ")).status == 503);
    run(office.house.loop, office.desk.drained());
    CHECK(office.house.smtpd().counters().memory == 0);
    CHECK(office.post(mail(many(5))).status == 200);
    run(office.house.loop, office.desk.drained());
    CHECK(office.house.smtpd().counters().memory == 0);
}

TEST_CASE("desk: a server that ends takes nothing new, and says so")
{
    Office office;
    office.house.smtpd().close();
    const Answer closed = office.post(mail(many(3)));
    CHECK(closed.status == 503);
    CHECK(has(closed.body, "Service is shutting down"));
    office.desk.close();
    CHECK(office.post(mail(many(3))).status == 503);
    CHECK(office.house.queue.asked == 0);
}
