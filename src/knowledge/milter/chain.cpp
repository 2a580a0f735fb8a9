#include "milter/chain.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::milter {

Chain::Chain(std::vector<Spec> specs, const Options& options, Surroundings::Connect connect, MacroValues values,
             std::function<void(std::string)> warn)
    : specs_(std::move(specs)), around_{std::move(connect), std::move(values), std::move(warn), &options.lists, &options.defaults}
{
    for (const Spec& spec : specs_)
        clients_.emplace_back(spec, around_);
}

Chain::~Chain() = default;

template <class Tell>
awaitable<Verdict> Chain::ask(Tell tell)
{
    for (Client& client : clients_)
        if (const Verdict verdict = co_await tell(client); !verdict.goes_on())
            co_return verdict;
    co_return Verdict();
}

awaitable<Verdict> Chain::connect(Peer peer)
{
    for (Client& client : clients_)
        co_await client.open();
    co_return co_await ask([&](Client& client) { return client.connect(peer); });
}

awaitable<Verdict> Chain::helo(std::string name)
{
    co_return co_await ask([&](Client& client) { return client.helo(name); });
}

awaitable<Verdict> Chain::mail(std::vector<std::string> words)
{
    co_return co_await ask([&](Client& client) { return client.mail(words); });
}

awaitable<Verdict> Chain::recipient(std::vector<std::string> words)
{
    co_return co_await ask([&](Client& client) { return client.recipient(words); });
}

awaitable<Verdict> Chain::data()
{
    co_return co_await ask([](Client& client) { return client.data(); });
}

awaitable<Verdict> Chain::unknown(std::string line)
{
    co_return co_await ask([&](Client& client) { return client.unknown(line); });
}

awaitable<void> Chain::refused_recipient(std::vector<std::string> words)
{
    for (Client& client : clients_)
        if (client.hears_refused_recipients())
            (void)co_await client.recipient(words);
}

awaitable<Verdict> Chain::message(Mail& mail, Inspect inspect)
{
    for (Client& client : clients_) {
        const Verdict verdict = co_await client.message(mail);
        const bool made_fields = std::ranges::any_of(mail.header(), [](const HeaderField& field) { return field.from_filter; });
        if (made_fields && inspect && (verdict.goes_on() || verdict.kind == Verdict::Kind::hold))
            if (const Verdict found = co_await inspect(mail); !found.goes_on())
                co_return found;
        if (!verdict.goes_on())
            co_return verdict;
    }
    co_return Verdict();
}

void Chain::abort()
{
    for (Client& client : clients_)
        client.abort();
}

awaitable<void> Chain::quit()
{
    for (Client& client : clients_)
        co_await client.quit();
}

bool Chain::wants(Stage stage, std::initializer_list<std::string_view> bare_names) const
{
    return std::ranges::any_of(clients_, [&](const Client& client) { return client.wants(stage, bare_names); });
}

bool Chain::hears_refused_recipients() const
{
    return std::ranges::any_of(clients_, [](const Client& client) { return client.hears_refused_recipients(); });
}

std::vector<std::string> words_of_command(std::string_view arguments)
{
    const auto colon = arguments.find(':');
    std::string_view rest = trim(colon == std::string_view::npos ? arguments : arguments.substr(colon + 1));
    std::vector<std::string> words;
    // The address may have quoted spaces; what follows has none.
    bool quoted = false;
    std::size_t end = 0;
    for (; end < rest.size() && (quoted || !is_space(rest[end])); ++end) {
        if (rest[end] == '\\' && end + 1 < rest.size())
            ++end;
        else if (rest[end] == '"')
            quoted = !quoted;
    }
    end = std::min(end, rest.size());
    words.emplace_back(rest.substr(0, end));
    for (const std::string_view word : split(rest.substr(end)))
        words.emplace_back(word);
    return words;
}

}  // namespace posthorn::milter
