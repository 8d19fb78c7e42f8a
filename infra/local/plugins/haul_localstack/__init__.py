"""What LocalStack lacks and Haul needs: Lambda functions without Docker, and custom resources of CloudFormation."""
