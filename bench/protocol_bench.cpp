// What the grammar costs per message of 4 KiB: the budget of design.md section 4 leaves it a few microseconds.
#include <string>

#include <benchmark/benchmark.h>

#include "message/address_list.hpp"
#include "message/header.hpp"
#include "message/mime.hpp"
#include "message/to_7bit.hpp"
#include "smtp/command.hpp"
#include "smtp/data.hpp"
#include "smtp/ehlo.hpp"

using namespace posthorn;

namespace {

// Ten fields and lines of 70 octets, one in 16 beginning with a dot.
std::string message(std::size_t size)
{
    std::string text = "Received: from client.test (client.test [192.0.2.1])\r\n\tby mx.test with ESMTP id 4bXYZ\r\n\tfor <user@mx.test>\r\n"
                       "From: John Smith <john@client.test>\r\nTo: user@mx.test, \"Other, One\" <other@mx.test>\r\nSubject: bench\r\n"
                       "Date: Sat, 21 Nov 2026 09:44:09 +0000\r\nMessage-ID: <x@client.test>\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: text/plain; charset=utf-8\r\n\r\n";
    for (int line = 0; text.size() < size; ++line)
        text += (line % 16 == 0 ? "." : "x") + std::string(69, 'y') + "\r\n";
    return text;
}

void data_read(benchmark::State& state)
{
    const std::string content = message(static_cast<std::size_t>(state.range(0)));
    std::string wire, out;
    smtp::DataWriter writer;
    writer.feed(content, wire);
    writer.finish(wire);
    for (auto _ : state) {
        out.clear();
        smtp::DataReader reader;
        std::string_view rest = wire;
        benchmark::DoNotOptimize(reader.feed(rest, out));
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(content.size()));
}
BENCHMARK(data_read)->Arg(4096)->Arg(1 << 20);

void data_write(benchmark::State& state)
{
    const std::string content = message(static_cast<std::size_t>(state.range(0)));
    const auto limit = static_cast<std::size_t>(state.range(1));
    std::string out;
    for (auto _ : state) {
        out.clear();
        smtp::DataWriter writer{limit};
        writer.feed(content, out);
        writer.finish(out);
        benchmark::DoNotOptimize(out.data());
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(content.size()));
}
BENCHMARK(data_write)->Args({4096, 0})->Args({4096, 998})->Args({1 << 20, 998});

void goes_as_it_is(benchmark::State& state)
{
    std::string content = message(4096);
    for (std::size_t at = content.find("\n."); at != content.npos; at = content.find("\n."))
        content[at + 1] = 'x';
    for (auto _ : state)
        benchmark::DoNotOptimize(smtp::goes_as_it_is(content, 998));
}
BENCHMARK(goes_as_it_is);

void commands(benchmark::State& state)
{
    for (auto _ : state) {
        const auto mail = smtp::split_command("MAIL FROM:<john@client.test> SIZE=4096 BODY=8BITMIME");
        benchmark::DoNotOptimize(smtp::parse_mail(mail.arguments));
        const auto rcpt = smtp::split_command("RCPT TO:<user@mx.test> NOTIFY=FAILURE ORCPT=rfc822;user@mx.test");
        benchmark::DoNotOptimize(smtp::parse_rcpt(rcpt.arguments));
    }
}
BENCHMARK(commands);

void replies(benchmark::State& state)
{
    const std::string_view octets = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: queued as 4bXYZ\r\n";
    smtp::ReplyParser parser;
    for (auto _ : state)
        for (std::string_view rest = octets; !rest.empty();)
            benchmark::DoNotOptimize(parser.feed(rest));
}
BENCHMARK(replies);

void header(benchmark::State& state)
{
    const std::string content = message(4096);
    for (auto _ : state) {
        message::HeaderWalk walk{content};
        std::size_t addresses = 0;
        for (auto field = walk.next(); field; field = walk.next())
            if (message::address_field(field->name) != message::AddressField::none)
                addresses += message::parse_address_list(field->body).addresses.size();
        benchmark::DoNotOptimize(addresses);
    }
}
BENCHMARK(header);

void mime(benchmark::State& state)
{
    const std::string content = message(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state)
        benchmark::DoNotOptimize(message::parse_mime(content));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(content.size()));
}
BENCHMARK(mime)->Arg(4096)->Arg(1 << 20);

void has_8bit(benchmark::State& state)
{
    const std::string content = message(1 << 20);
    for (auto _ : state)
        benchmark::DoNotOptimize(message::has_8bit(content));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(content.size()));
}
BENCHMARK(has_8bit);

}  // namespace

BENCHMARK_MAIN();
