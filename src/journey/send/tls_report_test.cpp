// What is told of TLS, as a collector reads it.
#include "send/tls_report.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

using namespace posthorn;
using namespace posthorn::send;

namespace {

struct Collector {
    std::string path = fmt::format("/tmp/posthorn-tlsrpt.{}", ::getpid());
    int socket = -1;
    ~Collector() { close(); }
    void open()
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.data(), path.size());
        socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    void close()
    {
        if (socket >= 0)
            ::close(socket);
        socket = -1;
        ::unlink(path.c_str());
    }
    std::string next() const
    {
        char room[65536];
        const ssize_t got = ::recv(socket, room, sizeof room, 0);
        return got < 0 ? std::string() : std::string(room, static_cast<std::size_t>(got));
    }
};

TlsReport good_report()
{
    return {.domain = "a.test", .record = "v=TLSRPTv1; rua=mailto:r@a.test", .policy_domain = "a.test", .host = "mx.a.test", .to = "192.0.2.2"};
}

TlsReport bad_report()
{
    TlsReport made = good_report();
    made.policy = TlsReport::Policy::sts;
    made.strings = {"version: STSv1", "mode: enforce"};
    made.hosts = {"mx.a.test", "*.a.test"};
    made.fault = TlsFault::certificate_not_trusted;
    made.from = "192.0.2.1";
    made.hello = "m\"x.a.test";
    made.reason = "self-signed certificate";
    return made;
}

}  // namespace

TEST_CASE("tls report: a success, and a fault with what is known of it, as a collector reads them")
{
    CHECK(to_datagram(good_report()) ==
          R"({"d":"a.test","pr":"v=TLSRPTv1; rua=mailto:r@a.test","policies":[{"policy-type":9,"policy-domain":"a.test","t":0,"f":0}]})");
    CHECK(to_datagram(bad_report()) ==
          R"({"d":"a.test","pr":"v=TLSRPTv1; rua=mailto:r@a.test","policies":[{"policy-type":2,"policy-domain":"a.test",)"
          R"("policy-string":["version: STSv1","mode: enforce"],"mx-host":["mx.a.test","*.a.test"],"failure-details":[{"c":203,"s":"192.0.2.1",)"
          R"("n":"mx.a.test","h":"m\"x.a.test","r":"192.0.2.2","f":"self-signed certificate"}],"t":1,"f":1}]})");
    TlsReport much = bad_report();
    much.strings.assign(10'000, "x");
    much.hosts.assign(10'000, "x");
    much.reason = much.hello = std::string(100'000, 'x');
    CHECK(to_datagram(much).size() < 32 * 1024);
    CHECK(to_line(good_report()) == "TLSRPT: status=success, domain=a.test, receiving_mx=mx.a.test[192.0.2.2]");
    CHECK(to_line(bad_report()) == "TLSRPT: status=failure, domain=a.test, receiving_mx=mx.a.test[192.0.2.2], failure_type=certificate_not_trusted, "
                                   "failure_reason=self-signed_certificate");
}

TEST_CASE("tls report: a domain wants them that has one record of version 1 with somewhere to send them")
{
    const auto record = [](std::vector<std::string> texts) { return report_record(texts).value_or("none"); };
    CHECK(record({"v=spf1", "v=TLSRPTv1; rua=mailto:a@a.test"}) == "v=TLSRPTv1; rua=mailto:a@a.test");
    CHECK(record({"v=TLSRPTv1;rua=https://a.test/"}) == "v=TLSRPTv1;rua=https://a.test/");
    CHECK(record({}) == "none");
    CHECK(record({"v=TLSRPTv1;"}) == "none");
    CHECK(record({"v=TLSRPTv2; rua=mailto:a@a.test"}) == "none");
    CHECK(record({"v=TLSRPTv1; rua=mailto:a@a.test", "v=TLSRPTv1; rua=mailto:b@a.test"}) == "none");
}

TEST_CASE("tls report: a collector that is away costs a warning now and then, and is told again when it is back")
{
    Collector collector;
    HandClock clock;
    const auto sink = std::make_shared<observe::MemorySink>();
    SocketReports reports(collector.path, clock, observe::Log(sink, "smtp"));
    for (int at = 0; at < 10; ++at)
        reports.tell(good_report());
    CHECK(sink->lines.size() == 1);
    clock.advance(std::chrono::minutes(5));
    reports.tell(good_report());
    CHECK(sink->lines.size() == 2);
    collector.open();
    reports.tell(bad_report());
    CHECK(collector.next() == to_datagram(bad_report()));
    for (int at = 0; at < 1000; ++at)                                  // it reads nothing: it is not waited for
        reports.tell(good_report());
    collector.close();
    collector.open();
    reports.tell(good_report());
    CHECK(collector.next() == to_datagram(good_report()));
    CHECK(sink->lines.size() == 2);
}
