"""The records on Headrace's topics, as pydantic models, and the names of topics and headers. No I/O."""
