// What `help`, `help-all`, `METHOD help` and an empty command line print.
#ifndef PYXSTAN_DRIVER_HELP_HPP
#define PYXSTAN_DRIVER_HELP_HPP

#include "grammar.hpp"

#include <iostream>
#include <string>
#include <vector>

namespace pyxstan {

inline void print_help(const argument& node, std::ostream& out, int depth, bool deep) {
  const std::string indent(2 * depth, ' ');
  out << indent << node.name << placeholder(node) << "\n" << indent << "  " << node.help << "\n";
  if (node.is_value()) {
    out << indent << "  Valid values: " << node.valid << "\n"
        << indent << "  Defaults to " << (node.fallback.empty() ? "\"\"" : node.fallback) << "\n";
  } else if (!node.children.empty()) {
    out << indent << "  Valid subarguments: ";
    for (const argument& child : node.children) {
      out << (&child == &node.children.front() ? "" : ", ") << child.name;
    }
    out << "\n";
  }
  out << "\n";
  if (deep) {
    for (const argument& child : node.children) {
      print_help(child, out, depth + 1, true);
    }
  }
}

inline void print_usage(const argument& root, const std::string& program) {
  std::cout << "Usage: " << program
            << " <arg1> <subarg1_1> ... <subarg1_m> ... <arg_n> <subarg_n_1> ... <subarg_n_m>\n\n"
            << "One of these methods,\n";
  const auto line = [](const argument& a) {
    std::cout << "  " << a.name << std::string(a.name.size() < 20 ? 21 - a.name.size() : 1, ' ')
              << a.help << "\n";
  };
  for (const argument& option : root.children.front().children) {
    line(option);
  }
  std::cout << "and any of\n";
  for (std::size_t i = 1; i < root.children.size(); ++i) {
    line(root.children[i]);
  }
  std::cout << "\n`" << program << " help-all` prints all arguments, `" << program
            << " METHOD help` those of a method.\n";
}

// What a word names among the arguments that may follow here: an argument, or an option of a choice.
inline const argument* named(const argument& node, const std::string& word) {
  const auto equals = word.find('=');
  const std::string name = word.substr(0, equals);
  for (const argument& child : node.children) {
    if (child.name == name && (equals == std::string::npos || child.what != kind::choice)) {
      return &child;
    }
    const bool chosen = child.name == name || (child.name == "method" && equals == std::string::npos);
    if (child.what == kind::choice && chosen) {
      const std::string option = equals == std::string::npos ? word : word.substr(equals + 1);
      for (const argument& one : child.children) {
        if (one.name == option) {
          return &one;
        }
      }
    }
  }
  return nullptr;
}

// Whether help was asked for, and given: of the innermost argument named before the word.
inline bool answer_help(const std::vector<std::string>& words, const argument& root,
                        const std::string& program) {
  std::size_t end = 0;
  while (end < words.size() && words[end] != "help" && words[end] != "help-all") {
    ++end;
  }
  if (end == words.size()) {
    return false;
  }
  std::vector<const argument*> open{&root};
  const argument* asked = &root;
  for (std::size_t i = 0; i < end; ++i) {
    const argument* found = named(*open.back(), words[i]);
    while (found == nullptr && open.size() > 1) {
      open.pop_back();
      found = named(*open.back(), words[i]);
    }
    if (found == nullptr) {
      throw usage_error(words[i] + " is either mistyped or misplaced.");
    }
    const bool given = words[i].find('=') != std::string::npos && found->is_value();
    asked = given ? open.back() : found;
    if (!found->is_value()) {
      open.push_back(found);
    }
  }
  const bool deep = words[end] == "help-all";
  if (asked != &root) {
    print_help(*asked, std::cout, 0, deep);
  } else if (deep) {
    for (const argument& child : root.children) {
      print_help(child, std::cout, 1, true);
    }
  }
  print_usage(root, program);
  return true;
}

}  // namespace pyxstan

#endif
