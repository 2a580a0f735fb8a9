// The main of a harness without libFuzzer: runs each file named, or in the folders named, once. Fails where there is none.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.hpp"

namespace fs = std::filesystem;

int main(int argc, char** argv)
{
    std::vector<fs::path> files;
    for (int i = 1; i < argc; ++i) {
        std::error_code error;
        if (fs::is_directory(argv[i], error)) {
            for (const auto& entry : fs::directory_iterator(argv[i]))
                if (entry.is_regular_file())
                    files.push_back(entry.path());
        } else {
            files.emplace_back(argv[i]);
        }
    }
    for (const fs::path& file : files) {
        std::ifstream in(file, std::ios::binary);
        if (!in) {
            std::fprintf(stderr, "%s: cannot be opened\n", file.c_str());
            return 1;
        }
        const std::string octets{std::istreambuf_iterator<char>(in), {}};
        try {
            posthorn::fuzz::fuzz_one(octets);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s: %s\n", file.c_str(), error.what());
            return 1;
        }
    }
    if (files.empty()) {
        std::fprintf(stderr, "no input: the corpus is empty or not there\n");
        return 1;
    }
    std::printf("%zu inputs replayed\n", files.size());
    return 0;
}
