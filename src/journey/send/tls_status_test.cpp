#include "send/tls_status.hpp"

#include "send/tls_example_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

TlsDemand status_demand(TlsLevel asked, TlsLevel held, bool half_dane = false)
{
    TlsDemand made;
    made.asked = asked;
    made.level = held;
    made.half_dane = half_dane;
    return made;
}

/// Of the only delivery line.
std::string tls_field(const World& world)
{
    const auto lines = lines_of(world, ", status=");
    REQUIRE(lines.size() == 1);
    const std::string& line = lines.front();
    const std::size_t at = line.find(", tls=");
    if (at == line.npos)
        return "(none)";
    CHECK(line.rfind(", delays=", at) != line.npos);
    CHECK(line.find(", dsn=", at) == line.find(", ", at + 2));       // between the two, as log analysers expect it
    return line.substr(at + 6, line.find(", ", at + 2) - at - 6);
}

}  // namespace

TEST_CASE("tls status: the words of postconf(5) for levels, what was had of them, and what could not be told")
{
    struct Row {
        TlsDemand demand;
        TlsEnd end;
        std::string_view field;
    };
    using enum TlsLevel;
    for (const Row& row : std::initializer_list<Row>{{status_demand(none, none), TlsEnd::clear, "none"},
                                                     {status_demand(none, none), TlsEnd::undecided, "none"},
                                                     {status_demand(none, none), TlsEnd::secured, "encrypt"},
                                                     {status_demand(may, may), TlsEnd::secured, "may"},
                                                     {status_demand(may, may), TlsEnd::undecided, "may?"},
                                                     {status_demand(may, may), TlsEnd::clear, "may:none"},
                                                     {status_demand(encrypt, encrypt), TlsEnd::no_starttls, "!encrypt:none"},
                                                     {status_demand(verify, verify), TlsEnd::secured, "verify"},
                                                     {status_demand(verify, verify), TlsEnd::no_match, "!verify:encrypt"},
                                                     {status_demand(dane, dane), TlsEnd::secured, "dane"},
                                                     {status_demand(dane, dane, true), TlsEnd::secured, "dane:halfdane"},
                                                     {status_demand(dane, encrypt), TlsEnd::secured, "dane:encrypt"},
                                                     {status_demand(dane, may), TlsEnd::secured, "dane:may"},
                                                     {status_demand(dane, may), TlsEnd::clear, "dane:none"},
                                                     {status_demand(dane, dane), TlsEnd::undecided, "dane?"},
                                                     {status_demand(dane_only, dane), TlsEnd::secured, "dane-only"}}) {
        CAPTURE(row.field);
        CHECK(tls_status(row.demand, row.end) == row.field);
    }
}

TEST_CASE("tls status: of mail that requires TLS, what became of that")
{
    struct Row {
        TlsDemand demand;
        TlsEnd end;
        bool offered;
        std::string_view field;
    };
    using enum TlsLevel;
    for (const Row& row :
         std::initializer_list<Row>{{status_demand(verify, verify), TlsEnd::secured, true, "verify/requiretls"},
                                    {status_demand(may, may), TlsEnd::secured, true, "may/requiretls:nocertmatch"},
                                    {status_demand(may, may), TlsEnd::secured, false, "may/requiretls:none"},
                                    {status_demand(may, may), TlsEnd::clear, false, "may:none/requiretls:none"},
                                    {status_demand(verify, verify), TlsEnd::no_match, false, "!verify:encrypt/!requiretls:nocertmatch"},
                                    {status_demand(encrypt, encrypt), TlsEnd::no_starttls, false, "!encrypt:none/!requiretls:nostarttls"},
                                    {status_demand(none, none), TlsEnd::no_match, false, "none/!requiretls:noencryption"},
                                    {status_demand(verify, verify), TlsEnd::no_requiretls, false, "verify/!requiretls:none"},
                                    {status_demand(dane, dane), TlsEnd::undecided, false, "dane?/requiretls?"}}) {
        CAPTURE(row.field);
        CHECK(tls_status(row.demand, row.end, RequireTls::enforce, row.offered) == row.field);
    }
}

TEST_CASE("tls status: what the delivery line says of sessions that were had, and of those that were not")
{
    struct Row {
        std::string_view field;
        TlsLevel level;
        std::string_view peer;
        std::function<void(Example&)> change = [](Example&) {};
        tls::Pem certificate = tls::leaf("mx.example.test");
    };
    for (const Row& row : std::initializer_list<Row>{
             {"none", TlsLevel::none, "starttls"},
             {"may", TlsLevel::may, "starttls"},
             {"may:none", TlsLevel::may, "bdat"},
             {"may?", TlsLevel::may, "starttls", [](Example& world) { world.names.addresses_of["mx.example.test"] = {"192.0.2.99"}; }},
             {"may?", TlsLevel::may, "closes-at-greeting"},
             {"encrypt", TlsLevel::encrypt, "starttls"},
             {"!encrypt:none", TlsLevel::encrypt, "bdat"},
             {"verify", TlsLevel::verify, "starttls"},
             {.field = "!secure:encrypt", .level = TlsLevel::secure, .peer = "starttls", .certificate = tls::leaf("other.test")},
             {"dane:may", TlsLevel::dane, "starttls"},
             {"dane:halfdane", TlsLevel::dane, "starttls",
              [](Example& world) {
                  world.names.is_signed = {"mx.example.test", "_25._tcp.mx.example.test"};
                  world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(3, own())};
              },
              own()},
             {"dane", TlsLevel::dane, "starttls",
              [](Example& world) {
                  world.names.is_signed = {"MX example.test", "mx.example.test", "_25._tcp.mx.example.test"};
                  world.names.tlsa_of["_25._tcp.mx.example.test"] = {tlsa(3, own())};
              },
              own()},
             // Nobody was asked what TLS has to be: the domain has no hosts.
             {"(none)", TlsLevel::may, "starttls", [](Example& world) { world.names.mx_of.clear(); }},
             {"(none)", TlsLevel::may, "starttls", [](Example& world) { world.options.log_tls_status = false; }},
         }) {
        CAPTURE(row.field);
        Example world(row.certificate, row.peer);
        world.options.log_tls_status = true;
        world.options.tls_level = row.level;
        row.change(world);
        world.deliver();
        CHECK(tls_field(world) == row.field);
    }
}

TEST_CASE("tls status: each of two mails on one session says it; a host that was left for another is not the one that is told of")
{
    Example world(tls::leaf("mx.example.test"));
    world.options.log_tls_status = true;
    world.options.tls_level = TlsLevel::may;
    world.in_turn = true;
    std::vector<handoff::DeliveryRequest> both;
    both.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    both.push_back(request({"user@example.test"}, "Subject: x\r\n\r\nhello\r\n", "example.test"));
    world.run(std::move(both));
    CHECK(lines_of(world, ", conn_use=2, ").size() == 1);
    CHECK(lines_of(world, ", tls=may, dsn=2.").size() == 2);

    Example other(tls::leaf("mx.example.test"));
    other.options.log_tls_status = true;
    other.options.tls_level = TlsLevel::encrypt;
    other.add("192.0.2.3", "bdat");
    other.names.mx_of["example.test"].emplace_back(5, "first.example.test");
    other.names.addresses_of["first.example.test"] = {"192.0.2.3"};
    CHECK(other.deliver().outcome() == delivered);
    CHECK(tls_field(other) == "encrypt");
}
