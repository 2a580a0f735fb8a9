// spf_alone ADDRESS@PORT: for each line "client TAB sender TAB helo" of standard input the result of an SPF check over that name server, and what explains it.
#include "async/run.hpp"
#include "base/strings.hpp"
#include "dns/resolver.hpp"
#include "mailauth/spf.hpp"

#include <iostream>

using namespace posthorn;

int main(int argc, char** argv)
{
    const std::vector<std::string_view> server = argc == 2 ? split(argv[1], "@") : std::vector<std::string_view>();
    const auto address = server.size() == 2 ? net::IpAddress::parse(server[0]) : std::nullopt;
    const auto port = server.size() == 2 ? parse_number(server[1]) : std::nullopt;
    if (!address || !port) {
        std::cerr << "usage: spf_alone ADDRESS@PORT\n";
        return 64;
    }
    asio::io_context loop;
    const SystemClock clock;
    dns::Options options;
    options.servers = {net::Endpoint(*address, static_cast<std::uint16_t>(*port))};
    dns::Resolver resolver(loop.get_executor(), clock, options);
    const mailauth::Ask ask = [&](std::string name, dns::Type type) { return resolver.query(std::move(name), type); };
    for (std::string line; std::getline(std::cin, line);) {
        const auto words = split_exact(line, '\t');
        const auto client = net::IpAddress::parse(words.front());
        if (words.size() != 3 || !client) {
            std::cerr << "spf_alone: " << line << '\n';
            return 65;
        }
        mailauth::SpfRequest request(*client, std::string(words[1]), std::string(words[2]), "receiver.test", clock.wall());
        const auto found = run(loop, mailauth::check_spf(std::move(request), ask), std::chrono::seconds(60));
        std::cout << found.result << '\t' << (found.reason.empty() ? found.explanation : found.reason) << std::endl;
    }
    return 0;
}
