"""`python -m edge_agent VERB…`: the same as `rdg agent VERB…`."""

from edge_agent.cli import main

if __name__ == "__main__":
    main()
