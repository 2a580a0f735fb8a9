#include "deliver/pipe_agent.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::deliver {

PipeMail mail_of(const handoff::DeliveryRequest& request)
{
    const handoff::Envelope& envelope = request.envelope();
    PipeMail mail;
    mail.sender = envelope.sender();
    for (const handoff::Recipient& recipient : envelope.recipients())
        mail.recipients.push_back({recipient.address(), recipient.original()});
    mail.queue_id = envelope.queue_id();
    mail.nexthop = request.route().nexthop();
    mail.envid = envelope.envid();
    mail.size = envelope.size();
    const handoff::Client& client = envelope.client();
    mail.sasl_method = client.sasl_method();
    mail.sasl_sender = client.sasl_sender();
    mail.sasl_username = client.sasl_username();
    if (const handoff::Origin& origin = envelope.origin(); envelope.has_origin() && !origin.address().empty()) {
        mail.client_name = origin.name();
        mail.client_address = origin.address();
        mail.client_port = origin.port();
        mail.client_helo = origin.helo();
        mail.client_protocol = origin.protocol();
    } else if (!client.address().empty()) {
        mail.client_name = client.name();
        mail.client_address = client.address();
        mail.client_port = client.port() == 0 ? "" : std::to_string(client.port());
        mail.client_helo = client.helo();
        mail.client_protocol = client.protocol();
    }
    return mail;
}

std::function<Result<std::string>()> pieces_of(Message message, WrittenOptions how, WrittenNames names)
{
    struct State {
        Message message;
        Written written;
        std::uint64_t at = 0;
        bool begun = false, ended = false;
    };
    auto state = std::make_shared<State>(State{std::move(message), Written(std::move(how), std::move(names))});
    return [state]() -> Result<std::string> {
        std::string piece;
        if (!std::exchange(state->begun, true))
            state->written.head(piece);
        std::string room(64 * 1024, '\0');
        while (piece.empty() && !state->ended) {
            TRY(const std::size_t got, state->message.read(state->at, room));
            state->at += got;
            state->written.feed(std::string_view(room).substr(0, got), piece);
            if (got == 0) {
                state->written.end(piece);
                state->ended = true;
            }
        }
        return piece;
    };
}

std::optional<Fate> PipeAgent::refused(const handoff::DeliveryRequest& request, const Message& message) const
{
    const handoff::Envelope& envelope = request.envelope();
    for (const char flag : {'D', 'O'})
        if (options_.line.has(flag) && envelope.recipients_size() > 1) {
            teller_.log().warning("flag '{}' of service {} requires {}_destination_recipient_limit = 1", flag, options_.service, options_.service);
            return Fate::misconfigured();
        }
    if (options_.line.size_limit != 0 && envelope.size() > options_.line.size_limit)
        return Fate::bounced("5.2.3", "message too large");
    if (options_.line.has('D') && envelope.recipients_size() == 1) {
        const auto head = message.head();
        if (!head)
            return Fate::deferred("4.3.0", "cannot read the message: " + head.error().text());
        if (const std::string& address = envelope.recipients(0).address(); was_delivered_to(*head, address))
            return Fate::bounced("5.4.6", "mail forwarding loop for " + address);
    }
    return std::nullopt;
}

awaitable<Fate> PipeAgent::attempt(const handoff::DeliveryRequest* request, Fd content)
{
    const PipeLine& line = options_.line;
    const handoff::Envelope& envelope = request->envelope();
    if (only_asked(*request))
        co_return Fate::delivered("delivers to command: " + line.words.front());
    auto message = content ? Message::of(std::move(content)) : Message(request->content().inline_octets());
    if (!message)
        co_return Fate::deferred("4.3.0", "cannot read the message: " + message.error().text());
    if (auto fate = refused(*request, *message))
        co_return *std::move(fate);
    const auto privileges = privileges_();
    if (!privileges) {
        teller_.log().warning("service {}: {}", options_.service, privileges.error().text());
        co_return Fate::misconfigured();
    }
    auto words = pipe_words(line, mail_of(*request), options_.delimiter, options_.allow_minus);
    if (!words) {
        if (words.error().status() == "5.1.3")
            co_return Fate::bounced("5.1.3", words.error().what());
        teller_.log().warning("service {}: {}", options_.service, words.error().text());
        co_return Fate::misconfigured();
    }
    WrittenOptions how;
    how.from_line = line.has('F');
    how.return_path = line.has('R');
    how.original_to = line.has('O') && options_.original_to;
    how.delivered_to = line.has('D');
    how.quote_from = line.has('>');
    how.dots = line.has('.');
    how.blank_end = line.has('B');
    how.eol = line.eol;
    WrittenNames names;
    names.sender = envelope.sender().empty() ? line.null_sender : envelope.sender();
    const handoff::Recipient& first = envelope.recipients(0);
    names.original = first.original().empty() ? first.address() : first.original();
    names.delivered = first.address();
    names.when = teller_.wall();
    std::string command;
    for (const std::string& word : *words)
        command += (command.empty() ? "" : " ") + word;
    CommandRun run;
    run.words = *std::move(words);
    run.environment = options_.environment;
    run.root = line.root;
    run.directory = line.directory;
    run.as = *privileges;
    run.input = pieces_of(*std::move(message), std::move(how), std::move(names));
    run.time_limit = options_.time_limit;
    const auto step = teller_.steps.begin(request->attempt(), "the command " + printable(command));
    const CommandEnd end = co_await spawner_.run(std::move(run));
    if (end.late)
        teller_.log().warning("{}: {}: command time limit exceeded", envelope.queue_id(), printable(command));
    if (end.not_executed)
        teller_.log().error("{}: {}", envelope.queue_id(), end.not_executed->text());
    co_return fate_of(end, printable(line.words.front()), fmt::format("delivered via {} service", options_.service),
                      line.has('X') ? "delivered" : "relayed");
}

awaitable<handoff::Verdicts> PipeAgent::deliver(handoff::DeliveryRequest request, Fd content)
{
    const std::int64_t began = teller_.now();
    handoff::Verdicts all;
    if (request.envelope().recipients_size() == 0)
        co_return all;
    const Fate fate = co_await attempt(&request, std::move(content));
    for (const handoff::Recipient& recipient : request.envelope().recipients())
        *all.add_verdicts() = co_await teller_.tell(&request, &recipient, fate, began);
    co_return all;
}

}  // namespace posthorn::deliver
