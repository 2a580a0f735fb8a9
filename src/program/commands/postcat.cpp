// postcat -q: what the queue holds of a message, in Postfix's arrangement, however large it is.
#include "commands/command.hpp"
#include "commands/letters.hpp"

#include "base/strings.hpp"
#include "base/timestamp.hpp"
#include "handoff/queue_id.hpp"
#include "inquiry/queue_client.hpp"
#include "message/header.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace posthorn::commands {

using inquiry::QueueClient;

namespace {

struct Options {
    bool body = false, envelope = false, header = false, types = false, offsets = false;
};

std::string postcat_time(std::int64_t microseconds)
{
    const time_t when = static_cast<time_t>(microseconds / 1'000'000);
    tm parts{};
    ::localtime_r(&when, &parts);
    char text[64];
    return std::string(text, ::strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &parts));
}

/// Records as lines. A record's type is the letter that Postfix's queue files have for it; its offset counts in the content.
class Printer {
public:
    explicit Printer(Options options) : options_(options) {}

    void record(char type, std::string_view text)
    {
        begin(type, 0);
        out_ += text;
        out_ += '\n';
        flush();
    }
    void banner(std::string_view what, std::string_view where) { out_ += fmt::format("*** {} {} ***\n", what, where); }

    /// The next octets of the content: lines end as files have them.
    void content(std::string_view octets)
    {
        for (const char c : octets) {
            if (at_line_start_)
                begin('N', offset_);
            at_line_start_ = false;
            ++offset_;
            if (std::exchange(cr_, c == '\r') && c != '\n')
                out_ += '\r';
            if (c != '\r')
                out_ += c;
            at_line_start_ = c == '\n';
        }
        flush();
    }
    void skip(std::size_t octets) { offset_ += octets; }
    void end_of_content()
    {
        if (std::exchange(cr_, false))
            out_ += '\r';
        if (!std::exchange(at_line_start_, true))
            out_ += '\n';
    }
    void flush()
    {
        if (std::fwrite(out_.data(), 1, out_.size(), stdout) != out_.size())
            throw Failure("standard output: write error", submit::exit_io);
        out_.clear();
    }

private:
    void begin(char type, std::uint64_t offset)
    {
        if (options_.offsets)
            out_ += fmt::format("{:>9} ", offset);
        if (options_.types)
            out_ += fmt::format("{:>3} ", static_cast<int>(type));
    }

    Options options_;
    std::string out_;
    std::uint64_t offset_ = 0;
    bool at_line_start_ = true, cr_ = false;
};

void print_envelope(Printer& out, const handoff::Envelope& envelope)
{
    out.record('C', fmt::format("message_size: {:>15} {:>15}", envelope.size(), envelope.recipients_size()));
    out.record('T', "message_arrival_time: " + postcat_time(envelope.arrival()));
    const auto attribute = [&](std::string_view name, std::string_view value) {
        if (!value.empty())
            out.record('A', fmt::format("named_attribute: {}={}", name, printable(value, true)));
    };
    attribute("log_message_origin", envelope.client().address().empty() ? "local"
                                                                        : fmt::format("{}[{}]", std::string_view(envelope.client().name()),
                                                                                      std::string_view(envelope.client().address())));
    attribute("client_name", envelope.client().name());
    attribute("client_address", envelope.client().address());
    attribute("helo_name", envelope.client().helo());
    attribute("protocol_name", envelope.client().protocol());
    attribute("sasl_method", envelope.client().sasl_method());
    attribute("sasl_username", envelope.client().sasl_username());
    attribute("sasl_sender", envelope.client().sasl_sender());
    attribute("envelope_id", envelope.envid());
    if (envelope.release().not_before() != 0)
        attribute("not_before", timestamp(WallTime{std::chrono::microseconds{envelope.release().not_before()}}));
    attribute("requiretls", envelope.requiretls() ? "yes" : "");
    attribute("tls_required", envelope.tls_optional() ? "no" : "");
    out.record('S', "sender: " + printable(envelope.sender(), true));
    for (const handoff::Recipient& recipient : envelope.recipients()) {
        out.record('O', "original_recipient: " + printable(recipient.original().empty() ? recipient.address() : recipient.original(), true));
        out.record('R', "recipient: " + printable(recipient.address(), true));
    }
}

class Cat {
public:
    Cat(QueueClient& client, Options options) : client_(client), options_(options) {}

    void show(const std::string& id)
    {
        const auto open = [&] { return Failure(fmt::format("open queue file {}: No such file or directory", printable(id)), 1); };
        if (!handoff::is_queue_id(id))
            throw Failure(fmt::format("bad mail queue ID: {}", printable(id)), 1);
        offset_ = 0;
        auto first = next(id);
        if (!first || first->entries().empty())
            throw !first && first.error().text() != "no such message"
                ? Failure(first.error().text(), first.error().status() == "4.3.0" ? submit::exit_unavailable : 1)
                : open();
        const std::string where = first->entries(0).queue_name() + "/" + id;
        Printer out(options_);
        if (options_.envelope) {
            out.banner("ENVELOPE RECORDS", where);
            print_envelope(out, first->entries(0).envelope());
        }
        if (options_.header || options_.body) {
            if (options_.envelope)
                out.banner("MESSAGE CONTENTS", where);
            show_content(out, id, *std::move(first));
            if (options_.envelope)
                out.banner("HEADER EXTRACTED", where);
        }
        if (options_.envelope)
            out.banner("MESSAGE FILE END", where);
        out.flush();
    }

private:
    Result<handoff::QueueReply> next(const std::string& id)
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::CAT);
        command.add_queue_ids(id);
        command.set_offset(offset_);
        auto reply = client_.ask(std::move(command));
        if (reply)
            offset_ += reply->octets().size();
        return reply;
    }

    handoff::QueueReply following(const std::string& id)
    {
        auto reply = next(id);
        if (!reply)                                            // delivered meanwhile
            throw Failure(fmt::format("{}: the message left the queue while it was read", id), 1);
        return *std::move(reply);
    }

    void show_content(Printer& out, const std::string& id, handoff::QueueReply piece)
    {
        std::string start(piece.octets());
        while (piece.more() && message::walk_to_end(start).header_size() == start.size()) {
            piece = following(id);
            start += piece.octets();
        }
        const std::size_t header_size = message::walk_to_end(start).header_size();
        const std::string_view text = start;
        options_.header ? out.content(text.substr(0, header_size)) : out.skip(header_size);
        if (options_.body) {
            out.content(text.substr(header_size));
            while (piece.more()) {
                piece = following(id);
                out.content(piece.octets());
            }
        }
        out.end_of_content();
    }

    QueueClient& client_;
    Options options_;
    std::uint64_t offset_ = 0;
};

int run_postcat(std::span<char*> args)
{
    std::optional<std::string> directory;
    Options options;
    bool queue = false;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postcat_letters)) > 0;) {
        switch (option) {
        case 'b': options.body = true; break;
        case 'c': directory = ::optarg; break;
        case 'd': options.types = true; break;
        case 'e': options.envelope = true; break;
        case 'h': options.header = true; break;
        case 'o': options.offsets = true; break;
        case 'q': queue = true; break;
        case 'n':
        case 'r':                                                  // records have one order here
        case 'v': break;
        case 's': throw Failure("-s is not offered: a message has no queue file to skip in", 1);
        default:
            throw Failure(
                "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] [-h (header text)] [-o (offsets)] -q queue_id...",
                1);
        }
    }
    if (!queue)
        throw Failure("only messages in the queue can be shown: use -q and a queue id", 1);
    if (!options.body && !options.envelope && !options.header)
        options.body = options.envelope = options.header = true;
    const config::Snapshot snapshot = load_config("postcat", directory);
    QueueClient client(snapshot);
    for (int i = ::optind; i < static_cast<int>(args.size()); ++i)
        Cat(client, options).show(args[static_cast<std::size_t>(i)]);
    return std::fflush(stdout) == 0 ? 0 : submit::exit_io;
}

}  // namespace

int postcat(std::span<char*> args) { return guarded("postcat", run_postcat, args); }

}  // namespace posthorn::commands
