// sasl/testing.hpp: for tests: a server that speaks Dovecot's protocol in memory. It knows joe, whose password is secret.
#pragma once

#include "base/strings.hpp"
#include "net/stream.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::sasl::testing {

class FakeDovecot {
public:
    using Connect = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>()>;

    std::string greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nSPID\t17\nCUID\t1\n"
                           "COOKIE\t00\nDONE\n";
    bool away = false;
    bool stuck = false;                     // from now on it reads nothing
    std::string hold;                       // the answer to this exchange waits for release()
    std::vector<std::string> heard;
    int connections = 0;

    Connect connector(asio::io_context& loop)
    {
        return [this, &loop]() -> awaitable<Result<std::unique_ptr<net::Stream>>> { return connect(&loop); };
    }
    void hang_up()
    {
        if (stream_)
            stream_->close();
    }
    /// Before its loop goes.
    void end()
    {
        hang_up();
        stream_.reset();
    }
    void release()
    {
        hold.clear();
        say(std::exchange(held_, {}));
    }

private:
    awaitable<Result<std::unique_ptr<net::Stream>>> connect(asio::io_context* loop)
    {
        if (away)
            co_return Error("No such file or directory");
        ++connections;
        auto [client, server] = net::memory_pair(loop->get_executor());
        stream_ = std::move(server);
        stages_.clear();
        say(greeting);
        asio::co_spawn(*loop, serve(stream_), asio::detached);
        co_return std::unique_ptr<net::Stream>(std::move(client));
    }
    void say(const std::string& text)
    {
        const iovec piece{const_cast<char*>(text.data()), text.size()};
        (void)stream_->try_write({&piece, 1});
    }
    awaitable<void> serve(std::shared_ptr<net::MemoryStream> stream)
    {
        std::string input;
        for (std::string room(4096, '\0');;) {
            const auto got = co_await stream->read_some(room);
            if (!got || *got == 0 || stuck)
                co_return;
            input.append(room, 0, *got);
            for (auto lf = input.find('\n'); lf != std::string::npos; lf = input.find('\n')) {
                heard.push_back(input.substr(0, lf));
                input.erase(0, lf + 1);
                answer(heard.back());
            }
        }
    }
    void answer(const std::string& line)
    {
        const auto fields = split_exact(line, '\t');
        if (fields[0] != "AUTH" && fields[0] != "CONT")
            return;
        const std::string id(fields[1]);
        std::string said = "FAIL\t" + id + "\n";
        std::string response(fields[0] == "CONT" ? fields[2] : "");
        std::string mechanism = fields[0] == "AUTH" ? std::string(fields[2]) : stages_[id];
        bool has = fields[0] == "CONT";
        if (fields.back().starts_with("resp=")) {
            response = fields.back().substr(5);
            has = true;
        }
        const std::string octets = base64_decode(response).value_or("?");
        if (mechanism == "PLAIN" && !has)
            said = "CONT\t" + id + "\t\n";
        else if (mechanism == "PLAIN" && octets.ends_with(std::string("\0secret", 7)))
            said = "OK\t" + id + "\tuser=" + octets.substr(octets.find('\0') + 1, octets.rfind('\0') - octets.find('\0') - 1) + "\n";
        else if (mechanism == "PLAIN" && octets.ends_with("tempfail"))
            said = "FAIL\t" + id + "\tuser=joe\ttemp\n";
        else if (mechanism == "PLAIN")
            said = "FAIL\t" + id + "\tuser=joe\n";
        else if (mechanism == "LOGIN") {
            said = "CONT\t" + id + "\tVXNlcm5hbWU6\n";
            mechanism = "LOGIN1";
        } else if (mechanism == "LOGIN1") {
            said = "CONT\t" + id + "\tUGFzc3dvcmQ6\n";
            mechanism = "LOGIN2";
        } else if (mechanism == "LOGIN2" && octets == "secret")
            said = "OK\t" + id + "\tuser=joe\n";
        else if (mechanism == "CRAM-MD5") {
            said = "CONT\t" + id + "\tPDE+\n";
            mechanism = "CRAM";
        } else if (mechanism == "CRAM")
            said = "FAIL\t" + id + "\treason=no such user\n";
        stages_[id] = mechanism;
        (id == hold ? held_ : said_now_) = said;
        if (id != hold)
            say(said_now_);
    }

    std::shared_ptr<net::MemoryStream> stream_;
    std::map<std::string, std::string> stages_;
    std::string held_, said_now_;
};

}  // namespace posthorn::sasl::testing
