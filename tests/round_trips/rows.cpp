#include "rows.hpp"

#include "sim/peers.hpp"

#include <fmt/format.h>

namespace posthorn::round_trips {

namespace {

class Table {
public:
    void section(std::string name, Row common)
    {
        common_ = std::move(common);
        common_.section = std::move(name);
    }
    Row& add(std::string what, unsigned floor, Work work = Work::mail)
    {
        Row& row = all.emplace_back(common_);
        row.what = std::move(what);
        row.floor = floor;
        row.floor_text = fmt::format("{}", floor);
        row.work = work;
        return row;
    }
    /// One command at a time: a round trip more for each recipient. Shown for one and for three.
    void add_each(const std::string& what, unsigned without_recipients, Work work, bool chunking)
    {
        for (const unsigned n : {1U, 3U}) {
            Row& row = add(fmt::format("{}, n = {}", what, n), without_recipients + n, work);
            row.floor_text = without_recipients == 0 ? std::string("n") : fmt::format("{} + n", without_recipients);
            row.recipients = n;
            row.chunking = chunking;
        }
    }
    /// Mail by DATA, by BDAT in the envelope's flight and behind it, and a probe of three recipients, to a peer with PIPELINING.
    void add_pipelined(unsigned data, unsigned probe)
    {
        add("mail by DATA, 3 recipients", data).recipients = 3;
        Row& bdat = add("mail by BDAT, peer known to discard", data - 1);
        bdat.chunking = bdat.discards = true;
        Row& careful = add("mail by BDAT, nothing known", data - 1);
        careful.chunking = true;
        careful.remark = "content waits for the recipients: a peer that does not discard a refused BDAT would execute it";
        add("probe of 3 recipients", probe, Work::probe).recipients = 3;
    }

    /// Content is never said before the answer to EHLO: by DATA and by BDAT it takes the same.
    void add_early(unsigned data, unsigned bdat, unsigned probe)
    {
        add("mail by DATA, 3 recipients", data).recipients = 3;
        Row& trusted = add("mail by BDAT, peer known to discard", bdat);
        trusted.chunking = trusted.discards = true;
        trusted.remark = "no content before the answer to EHLO: to a peer that has no CHUNKING today its octets would be commands";
        add("probe of 3 recipients", probe, Work::probe).recipients = 3;
    }

    std::vector<Row> all;

private:
    Row common_;
};

}  // namespace

std::vector<Row> rows()
{
    Table table;
    table.section("A: fresh, no PIPELINING", {});
    table.add_each("mail by DATA", 6, Work::mail, false);
    table.add_each("mail by BDAT", 5, Work::mail, true);
    table.add_each("probe", 4, Work::probe, false);

    table.section("B: fresh, PIPELINING", {.pipelining = true});
    table.add_pipelined(5, 4);

    table.section("C: fresh, PIPELINING and PIPECONNECT", {.pipelining = true, .early = true});
    table.add_early(3, 2, 2);

    table.section("E: fresh, STARTTLS with TLS 1.3, no PIPELINING", {.tls = Tls::starttls});
    table.add_each("mail by DATA", 9, Work::mail, false);
    table.add_each("mail by BDAT", 8, Work::mail, true);
    table.add_each("probe", 7, Work::probe, false);

    table.section("F: fresh, STARTTLS with TLS 1.3, PIPELINING", {.pipelining = true, .tls = Tls::starttls});
    table.add_pipelined(8, 7);
    table.section("F resumed", {.resumed = true, .pipelining = true, .tls = Tls::starttls});
    table.add_pipelined(8, 7);
    table.section("F with TLS 1.2", {.tls_1_2 = true, .pipelining = true, .tls = Tls::starttls});
    table.add_pipelined(9, 8);
    table.section("F with TLS 1.2, resumed", {.resumed = true, .tls_1_2 = true, .pipelining = true, .tls = Tls::starttls});
    table.add_pipelined(8, 7);

    table.section("G: fresh, STARTTLS with TLS 1.3, PIPECONNECT before it and in it", {.pipelining = true, .early = true, .tls = Tls::starttls});
    table.add_early(5, 4, 4);

    table.section("I: fresh, TLS 1.3 from the first octet, PIPELINING", {.pipelining = true, .tls = Tls::wrapper});
    table.add_pipelined(6, 5);

    table.section("J: fresh, TLS 1.3 from the first octet, the greeting in the server's first flight, PIPELINING",
                  {.pipelining = true, .tls = Tls::wrapper_with_greeting});
    table.add_pipelined(5, 4);

    table.section("K: fresh, TLS 1.3 from the first octet, PIPECONNECT", {.pipelining = true, .early = true, .tls = Tls::wrapper});
    table.add_early(4, 3, 3);

    table.section("L: warm, no PIPELINING", {.warm = true});
    table.add_each("mail by DATA", 3, Work::mail, false);
    table.add_each("mail by BDAT", 2, Work::mail, true);
    table.add_each("probe", 1, Work::probe, false);

    table.section("M: warm, PIPELINING", {.warm = true, .pipelining = true});
    table.add_pipelined(2, 1);
    table.section("M in TLS", {.warm = true, .pipelining = true, .tls = Tls::starttls});
    table.add_pipelined(2, 1);

    table.section("N: warm, PIPELINING, eight at once for one session", {.requests = 8, .warm = true, .pipelining = true});
    table.add("8 mails by DATA, each envelope behind the content before it", 9);
    Row& groups = table.add("8 mails by BDAT, peer known to discard, at most 8 unanswered", 1);
    groups.chunking = groups.discards = true;
    Row& careful = table.add("8 mails by BDAT, nothing known", 2);
    careful.chunking = true;
    careful.remark = "each content waits for its recipients, the next envelope does not wait for the content";
    table.add("8 probes of other callers", 1, Work::probe);

    table.section("O: warm, MAIL accepted and parked, no PIPELINING", {.warm = true, .parked = true});
    table.add_each("probe", 0, Work::probe, false);
    table.section("O: warm, PIPELINING: MAIL rides with the RCPT", {.requests = 8, .warm = true, .pipelining = true});
    table.add("8 probes of other callers", 1, Work::probe);

    for (const std::string name : {"frontbridge", "exchange-2010-sp1"}) {
        table.section(name == "frontbridge" ? "FrontBridge" : "Exchange 2010 SP1", {.pipelining = true, .peer = name});
        table.add("fresh, probe of 3 recipients", 4, Work::probe).recipients = 3;
        Row& warm = table.add("warm, probe of 3 recipients", 1, Work::probe);
        warm.recipients = 3;
        warm.warm = true;
    }
    return std::move(table.all);
}

std::string script_of(const Row& row)
{
    if (!row.peer.empty())
        return std::string(sim::peer_text(row.peer));
    std::string keywords;
    if (row.pipelining)
        keywords += "  S 250-PIPELINING\n";
    if (row.early)
        keywords += "  S 250-PIPECONNECT\n";
    if (row.chunking)
        keywords += "  S 250-CHUNKING\n";
    keywords += "  S 250-8BITMIME\n  S 250 SIZE 10240000\n  state ready\n";
    std::string script = "host peer.test\nlike bdat\n";
    if (row.tls == Tls::wrapper)
        script += "tls on connect\n";
    if (row.tls == Tls::wrapper_with_greeting)
        script += "tls with greeting\n";
    script += "S 220 $host ESMTP\n";
    if (row.tls == Tls::starttls)
        script += "on EHLO * [in secure]\n  S 250-$host\n" + keywords + "on EHLO *\n  S 250-$host\n  S 250-STARTTLS\n" + keywords +
                  "on STARTTLS\n  starttls 220 2.0.0 Ready\n  state secure\n";
    else
        script += "on EHLO *\n  S 250-$host\n" + keywords;
    return script;
}

}  // namespace posthorn::round_trips
