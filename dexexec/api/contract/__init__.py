"""The contract with clients: OpenAPI, AsyncAPI and a page for people, made of what validates and what is answered."""
